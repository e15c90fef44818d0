"""Pseudo-labels (lesson 04): what the notebook imports."""

from plopkit.lessons.pseudo.explorer import pseudo_explorer
from plopkit.lessons.pseudo.figures import JUDGED, pseudo_rows, shown
from plopkit.lessons.pseudo.measures import classify_pseudo_labels, precision_at, precision_curve
from plopkit.lessons.pseudo.uncertainty import precision_curves, uncertainty_histograms

__all__ = [
    "JUDGED",
    "classify_pseudo_labels",
    "precision_at",
    "precision_curve",
    "precision_curves",
    "pseudo_explorer",
    "pseudo_rows",
    "shown",
    "uncertainty_histograms",
]
