"""Words and numbers on pictures that fit."""

import re
import textwrap

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator


def wrapped(title: str, width: float) -> str:
    """A title in lines that fit a figure so many inches wide, at eleven points."""
    spaced = re.sub(r",(?=\S)", ", ", title)  # a class order may have its line broken
    return textwrap.fill(spaced, max(20, int(width / 0.095)))


def plain_log_numbers(axis: Axes) -> None:
    """Numbers such as 0.2 beside a logarithmic height, where matplotlib writes 2 x 10^-1; for when all is drawn.

    A range of less than a decade or so, which may hold no power of ten, gets even steps.
    """
    low, high = axis.get_ylim()
    if high < 20 * low:
        axis.yaxis.set_major_locator(MaxNLocator(5))
        axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
