"""Lessons 00 and 06, how a scenario is trained: everything that the notebooks need."""

from plopkit.lessons.exercises import check
from plopkit.lessons.training.figures import story
from plopkit.lessons.training.measures import Example, leading, telling_example
from plopkit.runs.results import most_different_example
from plopkit.viz import forgetting_curves, strips

__all__ = [
    "Example",
    "check",
    "forgetting_curves",
    "leading",
    "most_different_example",
    "story",
    "strips",
    "telling_example",
]
