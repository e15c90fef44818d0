"""Pictures from arrays and tables; nothing here trains. Every function returns a matplotlib Figure."""

from plopkit.viz.curves import forgetting_curves, loss_curves
from plopkit.viz.gradients import gradient_map, method_bars, term_bars
from plopkit.viz.growth import before_and_after, classifier_view, probability_bars, resolutions
from plopkit.viz.live import live_curves
from plopkit.viz.maps import drift_maps
from plopkit.viz.masks import COLOURS, colour_of, overlay, strip, strips
from plopkit.viz.mistakes import mistakes_view
from plopkit.viz.podcut import pod_cut, pod_vector
from plopkit.viz.pseudo import JUDGED, pseudo_rows, shown
from plopkit.viz.runs import class_matrix, drops, trade_off
from plopkit.viz.splits import class_bars, hidden_bars, schedule, targets
from plopkit.viz.tables import convention_gaps, published_bars, seed_spread
from plopkit.viz.thresholds import labelled, let_through, limit_by_share, threshold_reach, threshold_walk
from plopkit.viz.uncertainty import precision_curves, uncertainty_histograms

__all__ = [
    "COLOURS",
    "JUDGED",
    "before_and_after",
    "class_bars",
    "class_matrix",
    "classifier_view",
    "colour_of",
    "convention_gaps",
    "drift_maps",
    "drops",
    "forgetting_curves",
    "gradient_map",
    "hidden_bars",
    "labelled",
    "let_through",
    "limit_by_share",
    "live_curves",
    "loss_curves",
    "method_bars",
    "mistakes_view",
    "overlay",
    "pod_cut",
    "pod_vector",
    "precision_curves",
    "probability_bars",
    "pseudo_rows",
    "published_bars",
    "resolutions",
    "schedule",
    "seed_spread",
    "shown",
    "strip",
    "strips",
    "targets",
    "term_bars",
    "threshold_reach",
    "threshold_walk",
    "trade_off",
    "uncertainty_histograms",
]
