"""Lessons 00 and 06, how a scenario is trained: everything that the notebooks need."""

from plopkit.lessons.exercises import check
from plopkit.lessons.training.figures import objects_shown, story
from plopkit.lessons.training.measures import FATES, Example, fates, leading, telling_example
from plopkit.lessons.training.own import (
    COURSES,
    course,
    course_in_words,
    first_and_last,
    run_once_written,
    with_method,
)
from plopkit.runs.results import most_different_example
from plopkit.viz import forgetting_curves, strips

__all__ = [
    "COURSES",
    "FATES",
    "Example",
    "check",
    "course",
    "course_in_words",
    "fates",
    "first_and_last",
    "forgetting_curves",
    "leading",
    "most_different_example",
    "objects_shown",
    "run_once_written",
    "story",
    "strips",
    "telling_example",
    "with_method",
]
