"""Lesson 08, published results: everything that the notebook needs."""

from plopkit.lessons.exercises import check
from plopkit.lessons.published.figures import convention_gaps, published_bars, seed_spread
from plopkit.lessons.published.measures import (
    both_conventions,
    last_steps,
    measured,
    published_and_own,
    until_plop,
)

__all__ = [
    "both_conventions",
    "check",
    "convention_gaps",
    "last_steps",
    "measured",
    "published_and_own",
    "published_bars",
    "seed_spread",
    "until_plop",
]
