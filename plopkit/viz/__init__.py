"""Pictures from arrays and tables; nothing here trains. Every function returns a matplotlib Figure."""

from plopkit.viz.curves import forgetting_curves, loss_curves
from plopkit.viz.live import live_curves
from plopkit.viz.masks import COLOURS, colour_of, overlay, strip, strips

__all__ = [
    "COLOURS",
    "colour_of",
    "forgetting_curves",
    "live_curves",
    "loss_curves",
    "overlay",
    "strip",
    "strips",
]
