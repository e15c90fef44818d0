"""Lessons 00 and 06, how a scenario is trained: everything that the notebooks need."""

from plopkit.lessons.exercises import check
from plopkit.lessons.training.figures import story
from plopkit.lessons.training.measures import FATES, Example, fates, leading, telling_example
from plopkit.lessons.training.own import COURSES, course, first_and_last, run_once_written, with_method
from plopkit.runs.results import most_different_example
from plopkit.viz import forgetting_curves, strips

__all__ = [
    "COURSES",
    "FATES",
    "Example",
    "check",
    "course",
    "fates",
    "first_and_last",
    "forgetting_curves",
    "leading",
    "most_different_example",
    "run_once_written",
    "story",
    "strips",
    "telling_example",
    "with_method",
]
