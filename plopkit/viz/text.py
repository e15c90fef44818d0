"""Text and numbers that fit into a picture."""

import re
import textwrap

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullFormatter, NullLocator


def wrapped(title: str, width: float) -> str:
    """A title of eleven points, broken into lines that fit a figure of this width in inches."""
    spaced = re.sub(r",(?=\S)", ", ", title)  # so that the line may break within a class order
    return textwrap.fill(spaced, max(20, int(width / 0.095)))


def plain_log_numbers(axis: Axes) -> None:
    """Label a logarithmic y axis with numbers such as 0.2 instead of 2 x 10^-1. Call it when everything is drawn.

    A range of about a decade, which may hold no power of ten, gets even steps.
    """
    low, high = axis.get_ylim()
    if high < 20 * low:
        axis.yaxis.set_major_locator(MaxNLocator(5))
        axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
