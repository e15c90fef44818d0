"""Lesson 11, the methods since PLOP: everything that the notebook needs."""

from plopkit.lessons.exercises import check
from plopkit.lessons.published.measures import last_steps, measured
from plopkit.lessons.successors.figures import fusion_curves, ladder, outputs_compared, published_and_measured
from plopkit.lessons.successors.fusing import fusion_curve
from plopkit.lessons.successors.measures import IDEAS, best_gain, both_scores, ideas_table, shares_of_gain, since_plop

__all__ = [
    "IDEAS",
    "best_gain",
    "both_scores",
    "check",
    "fusion_curve",
    "fusion_curves",
    "ideas_table",
    "ladder",
    "last_steps",
    "measured",
    "outputs_compared",
    "published_and_measured",
    "shares_of_gain",
    "since_plop",
]
