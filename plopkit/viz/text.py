"""Words on pictures that fit."""

import re
import textwrap


def wrapped(title: str, width: float) -> str:
    """A title in lines that fit a figure so many inches wide, at eleven points."""
    spaced = re.sub(r",(?=\S)", ", ", title)  # a class order may have its line broken
    return textwrap.fill(spaced, max(20, int(width / 0.095)))
