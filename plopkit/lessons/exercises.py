"""The checker of the lessons' exercises: is an answer right, and if not, a hint.

The exercises themselves are in each topic's folder, ``plopkit/lessons/<topic>/exercises.py``. Those whose answer is a
function are in ``attempts.py`` (`plopkit.lessons.attempts`).
"""

import html
from collections.abc import Callable, Collection
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np

from plopkit.lessons.progress_file import counted
from plopkit.support.errors import unknown_name
from plopkit.viz.colours import VERDICTS

TOPICS = {
    "00": "training",
    "01": "splits",
    "02": "growing",
    "03": "pod",
    "04": "pseudo",
    "05": "gradients",
    "06": "training",
    "07": "forgetting",
    "08": "published",
    "09": "thresholds",
    "10": "domains",
    "11": "successors",
    "12": "own_data",
}
"""The topic of each lesson, whose folder has its exercises."""

ATTEMPT_TOPICS = ("growing", "pod", "pseudo", "gradients", "training")
"""The topics whose folder has functions to write."""


@dataclass(frozen=True)
class Exercise:
    """One exercise: how its answer is computed from what the notebook has, and a hint."""

    truth: Callable[..., Any]
    """Computes the right answer; its parameters are the keyword arguments of ``check``."""
    hint: str
    """Shown after a wrong answer."""
    solution: str
    """The lines of a cell that answers it with what the notebook has."""
    tolerance: float = 1e-4
    """Relative, for numbers. Wider where the notebook prints rounded numbers, which must count as right."""
    margin: float = 0.0
    """Absolute, for numbers: how far an answer from numbers as the notebook prints them can be from the truth."""


@dataclass(frozen=True)
class Verdict:
    """Right, wrong or not answered yet, as a notebook shows it."""

    right: bool | None
    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        colour = VERDICTS[self.right]
        return f'<div style="border-left:4px solid {colour};padding:.3em .8em">{html.escape(self.text)}</div>'


def check(name: str, answer: Any, **variables: Any) -> Verdict:
    """Check the answer to an exercise.

    Args:
        name: the exercise's lesson and number, such as ``"05.1"``.
        answer: the student's answer; None means that there is none yet.
        variables: the notebook's variables from which the right answer is computed.

    Raises:
        ValueError: there is no such exercise.

    Example:
        >>> print(check("06.1", 90, settings=settings, images=480))
        Exercise 06.1: right.
    """
    exercise = find_exercise(name)
    if answer is None or answer is ...:
        return Verdict(None, f"Exercise {name}: no answer yet. (A wrong one gets a hint.)")
    if same(answer, exercise.truth(**variables), exercise.tolerance, exercise.margin):
        return Verdict(True, f"Exercise {name}: right.{counted(name, exercise_names())}")
    return Verdict(False, f"Exercise {name}: not right yet. Hint: {exercise.hint}")


def find_exercise(name: str) -> Exercise:
    """The exercise of this lesson and number, such as ``"05.1"``; only its topic's module is imported.

    Raises:
        ValueError: there is no such exercise.
    """
    topic = TOPICS.get(name.partition(".")[0])
    exercises = exercises_of(topic) if topic else {}
    if name not in exercises:
        raise unknown_name("exercise", name, all_exercises())
    return exercises[name]


def exercises_of(topic: str) -> dict[str, Exercise]:
    """The exercises of a topic, by lesson and number."""
    return import_module(f"plopkit.lessons.{topic}.exercises").EXERCISES


def all_exercises() -> dict[str, Exercise]:
    """The exercises of all lessons, in order."""
    exercises = [item for topic in dict.fromkeys(TOPICS.values()) for item in exercises_of(topic).items()]
    return dict(sorted(exercises))


def exercise_names() -> tuple[str, ...]:
    """The names of all exercises, questions and functions to write, in order."""
    attempts = [
        name for topic in ATTEMPT_TOPICS for name in import_module(f"plopkit.lessons.{topic}.attempts").ATTEMPTS
    ]
    return tuple(sorted([*all_exercises(), *attempts]))


def same(answer: Any, truth: Any, tolerance: float, margin: float = 0.0) -> bool:
    """Whether the answer is right: numbers and arrays up to a relative tolerance and an absolute margin, sets in any
    order and collection.

    An answer of any other type is wrong; none raises an error.
    """
    if isinstance(truth, set | frozenset):
        return isinstance(answer, Collection) and not isinstance(answer, str) and _as_set(answer) == truth
    try:
        given, wanted = (np.asarray(_detached(value), dtype=float) for value in (answer, truth))
    except Exception:  # whatever a student's object raises when it is read as numbers
        return False
    return given.shape == wanted.shape and bool(
        np.allclose(given, wanted, rtol=tolerance, atol=max(margin, 1e-9), equal_nan=True)
    )


def _as_set(answer: Collection[Any]) -> set[Any] | None:
    """The answer's items, lists as tuples; None where they cannot be in a set."""
    try:
        return {tuple(item) if isinstance(item, list) else item for item in answer}
    except Exception:  # unhashable items, or a collection that cannot be iterated, such as a tensor of one number
        return None


def _detached(value: Any) -> Any:
    """A tensor without its gradient, which NumPy refuses."""
    return value.detach().cpu() if hasattr(value, "detach") else value
