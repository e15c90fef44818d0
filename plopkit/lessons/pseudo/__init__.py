"""Lesson 04, pseudo-labels: everything that the notebook needs."""

from plopkit.lessons.exercises import check
from plopkit.lessons.pseudo.figures import OUTCOMES, label_images, pseudo_rows
from plopkit.lessons.pseudo.measures import (
    Outcome,
    classify_pseudo_labels,
    outcome_table,
    precision_at,
    precision_curve,
    spread_images,
    teacher_view,
)
from plopkit.lessons.pseudo.uncertainty import precision_curves, uncertainty_histograms
from plopkit.lessons.snapshots import outputs_of
from plopkit.support.lazy import lazy_attributes

__all__ = [
    "OUTCOMES",
    "Outcome",
    "check",
    "classify_pseudo_labels",
    "label_images",
    "outcome_table",
    "outputs_of",
    "precision_at",
    "precision_curve",
    "precision_curves",
    "pseudo_explorer",
    "pseudo_rows",
    "spread_images",
    "teacher_view",
    "uncertainty_histograms",
]

__getattr__ = lazy_attributes(__name__, {"pseudo_explorer": "explorer"})  # only explorers need ipywidgets
