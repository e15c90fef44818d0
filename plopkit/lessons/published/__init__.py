"""Published results (lesson 08): what the notebook imports."""

from plopkit.lessons.published.figures import convention_gaps, published_bars, seed_spread
from plopkit.lessons.published.measures import beside, conventions, last_steps, measured

__all__ = [
    "beside",
    "convention_gaps",
    "conventions",
    "last_steps",
    "measured",
    "published_bars",
    "seed_spread",
]
