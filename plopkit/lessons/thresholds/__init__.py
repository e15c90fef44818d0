"""Lesson 09, what the released code computes: everything that the notebook needs."""

from plopkit.lessons.exercises import check
from plopkit.lessons.thresholds.figures import (
    pseudo_label_dots,
    range_bars,
    target_grid,
    threshold_by_share,
    threshold_search,
)
from plopkit.lessons.thresholds.measures import (
    Histograms,
    classes_beyond_the_gap,
    pseudo_label_rates,
    released_range,
    teacher_histograms,
    threshold_of_share,
    uncertainty_scale,
)
from plopkit.support.lazy import lazy_attributes

__all__ = [
    "Histograms",
    "check",
    "classes_beyond_the_gap",
    "pseudo_label_dots",
    "pseudo_label_rates",
    "range_bars",
    "released_range",
    "search_explorer",
    "target_grid",
    "teacher_histograms",
    "threshold_by_share",
    "threshold_of_share",
    "threshold_search",
    "uncertainty_scale",
]

__getattr__ = lazy_attributes(__name__, {"search_explorer": "explorer"})  # only explorers need ipywidgets
