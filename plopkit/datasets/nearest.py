"""What is near a file that is missing: the same name with another ending, or a similar name."""

import difflib
import os
import unicodedata
from bisect import bisect_left
from pathlib import Path

from plopkit.datasets.file_index import SUFFIXES_IN_WORDS, is_picture
from plopkit.support.printable import one_line

NEIGHBOURS = 300
"""Names before and after the missing one in the alphabet that are compared with it."""


def hint(path: Path) -> str:
    """The end of a message about a missing file; "" where its folder has nothing like it."""
    try:
        names = sorted(name for name in os.listdir(path.parent) if not name.startswith("."))
    except OSError:
        return ""
    if os.path.lexists(path):
        return " (a folder has that name)" if path.is_dir() else " (a link of that name leads nowhere)"
    stem = unicodedata.normalize("NFC", path.stem)
    for name in names:
        if unicodedata.normalize("NFC", os.path.splitext(name)[0]) == stem and not is_picture(name):
            return f" ({one_line(name)} is there, but only {SUFFIXES_IN_WORDS} are read)"
    for name in names:
        if unicodedata.normalize("NFC", name).casefold() == unicodedata.normalize("NFC", path.name).casefold():
            return f" ({one_line(name)} is there: upper and lower case count)"
    place = bisect_left(names, path.name)
    around = names[max(place - NEIGHBOURS, 0) : place + NEIGHBOURS]
    near = difflib.get_close_matches(path.name[:200], around, n=1)
    return f" (the nearest name there is {one_line(near[0])})" if near else ""
