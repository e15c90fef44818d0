"""Lists as people have them: the lines of a text file, however it was saved."""

import codecs
import unicodedata
from pathlib import Path
from typing import NamedTuple

from plopkit.support.places import read_limited
from plopkit.support.printable import control_character

LARGEST_LIST = 2**24
"""Bytes of a list: a million names."""
LONGEST_LINE = 1000

_INVISIBLE = "\ufeff\u200b\u200e\u200f\u2060"
"""Characters without width that come with text from web pages and office programs."""
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Line(NamedTuple):
    """A line of a list that is not blank."""

    number: int
    """counted from 1, blank lines and comments included"""
    text: str
    """without blanks around it, in Unicode's composed form"""


def numbered_lines(path: Path) -> list[Line]:
    """The lines of a list that are not blank.

    Raises:
        ValueError: As for `read_lines`.
    """
    return [Line(number, text) for number, text in enumerate(read_lines(path), 1) if text]


def read_lines(path: Path) -> list[str]:
    """Read the lines of a list, without trailing blank lines.

    UTF-8 with and without byte order mark, UTF-16 with one, and the line ends of any system are read.

    Raises:
        ValueError: It is larger than `LARGEST_LIST`, not UTF-8, or a line is no name: too long, or with a control
            character. The message names the line.
    """
    # Only line ends separate lines: str.splitlines also splits at separators that may stand in a name by mistake.
    text = _text(path).rstrip().replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.strip().strip(_INVISIBLE).strip() for line in composed(text).split("\n")] if text else []
    for number, line in enumerate(lines, 1):
        if not line.isprintable() and (wrong := control_character(line.replace("\t", " "))):
            raise ValueError(f"{path}: line {number} holds the control character {wrong}; correct the line")
        if len(line) > LONGEST_LINE:
            raise ValueError(f"{path}: line {number} has {len(line):,} characters; write one name per line")
    return lines


def composed(text: str) -> str:
    """A text in Unicode's composed form (NFC): é as one character, where macOS writes two."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def _text(path: Path) -> str:
    content = read_limited(path, LARGEST_LIST, "a list")
    encoding = "utf-16" if content.startswith(_UTF_16) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        known = "UTF-8" if encoding == "utf-8-sig" else "UTF-16"
        raise ValueError(f"{path}: not {known} text ({error}); save it as UTF-8") from error
