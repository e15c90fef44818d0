"""A net that grows (lesson 02): what the notebook imports."""

from plopkit.lessons.growing.figures import before_and_after, classifier_view, probability_bars, resolutions
from plopkit.lessons.growing.measures import classifier_rows, mean_probabilities, overtaken

__all__ = [
    "before_and_after",
    "classifier_rows",
    "classifier_view",
    "mean_probabilities",
    "overtaken",
    "probability_bars",
    "resolutions",
]
