"""Pictures from arrays and tables; nothing here trains. Every function returns a matplotlib Figure."""

from typing import TYPE_CHECKING

from plopkit.support.moved import renamed
from plopkit.viz.colours import colour_of
from plopkit.viz.curves import domain_curves, forgetting_curves, loss_curves
from plopkit.viz.live import live_curves
from plopkit.viz.masks import overlay, strip, strips

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


__all__ = [
    "colour_of",
    "domain_curves",
    "forgetting_curves",
    "live_curves",
    "loss_curves",
    "overlay",
    "strip",
    "strips",
]
