"""Lesson 02, a net that grows: everything that the notebook needs."""

from plopkit.lessons.exercises import check
from plopkit.lessons.gradients.figures import gradient_map
from plopkit.lessons.gradients.measures import Situation, attribution
from plopkit.lessons.growing.figures import before_and_after, classifier_view, probability_bars, resolutions
from plopkit.lessons.growing.measures import classifier_rows, largest_changes, mean_probabilities, overtaken

__all__ = [
    "Situation",
    "attribution",
    "before_and_after",
    "check",
    "classifier_rows",
    "classifier_view",
    "gradient_map",
    "largest_changes",
    "mean_probabilities",
    "overtaken",
    "probability_bars",
    "resolutions",
]
