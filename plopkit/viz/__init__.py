"""Pictures from arrays and tables; nothing here trains. Every function returns a matplotlib Figure."""

from plopkit.support import moved
from plopkit.viz.colours import colour_of
from plopkit.viz.curves import forgetting_curves, loss_curves
from plopkit.viz.live import live_curves
from plopkit.viz.masks import overlay, strip, strips

__all__ = [
    "colour_of",
    "forgetting_curves",
    "live_curves",
    "loss_curves",
    "overlay",
    "strip",
    "strips",
]

__getattr__ = moved.renamed(__name__)
