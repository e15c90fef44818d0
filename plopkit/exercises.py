"""The lessons' exercises: what the right answer is, worked out from what the notebook gives, and a hint."""

import html
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Exercise:
    """``truth(**given)`` is the right answer; ``hint`` is shown to who has not found it."""

    truth: Callable[..., Any]
    hint: str
    tolerance: float = 1e-4
    """relative, for numbers"""


EXERCISES: dict[str, Exercise] = {}
"""By lesson and number, such as "01.2"."""


@dataclass(frozen=True)
class Verdict:
    """Right, wrong, or not answered yet, as a notebook shows it."""

    right: bool | None
    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        colour = {True: "#009E73", False: "#D55E00", None: "#666666"}[self.right]
        return f'<div style="border-left:4px solid {colour};padding:.3em .8em">{html.escape(self.text)}</div>'


def check(name: str, answer: Any, **given: Any) -> Verdict:
    """Is the answer to exercise ``name`` right? ``given`` is what the notebook has that the truth is worked out from.

    None is no answer yet. ValueError for an exercise that does not exist.
    """
    if name not in EXERCISES:
        near = get_close_matches(name, EXERCISES, n=1)
        guess = f" (did you mean {near[0]}?)" if near else ""
        raise ValueError(f"there is no exercise {name!r}{guess}; known: {', '.join(EXERCISES)}")
    exercise = EXERCISES[name]
    if answer is None:
        return Verdict(None, f"Exercise {name}: no answer yet. Hint: {exercise.hint}")
    if same(answer, exercise.truth(**given), exercise.tolerance):
        return Verdict(True, f"Exercise {name}: right.")
    return Verdict(False, f"Exercise {name}: not right yet. Hint: {exercise.hint}")


def same(answer: Any, truth: Any, tolerance: float) -> bool:
    """Numbers and arrays up to a relative tolerance; sets in any order; words in any case; all else as it is."""
    if isinstance(truth, str):
        return isinstance(answer, str) and answer.strip().lower() == truth.lower()
    if isinstance(truth, (set, frozenset)):
        return isinstance(answer, Collection) and not isinstance(answer, str) and set(answer) == truth
    if isinstance(truth, Mapping):
        return (
            isinstance(answer, Mapping)
            and answer.keys() == truth.keys()
            and all(same(answer[key], truth[key], tolerance) for key in truth)
        )
    try:
        found, wanted = np.asarray(answer, dtype=float), np.asarray(truth, dtype=float)
    except (TypeError, ValueError):
        return False
    return found.shape == wanted.shape and bool(np.allclose(found, wanted, rtol=tolerance, atol=1e-9, equal_nan=True))
