"""Words from strangers' files, made safe for a terminal, a report and an error message.

A class name or a file name may hold characters that a terminal obeys: they move the cursor, colour what follows, change
the title of the window or turn the direction of the text.
"""

import re

_OBEYED = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters except tab and line feed
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # of the direction of the text
    r"\u2028\u2029"  # line breaks of Unicode
    r"\ud800-\udfff"  # bytes of a file name that are not UTF-8, which cannot be written
)
_MANY_LINES = re.compile(f"[{_OBEYED}]")
_ONE_LINE = re.compile(f"[{_OBEYED}\t\n]")


def printable(text: str) -> str:
    r"""The text with every character that a terminal obeys as its escape, such as \x1b; tabs and line feeds stay.

    Example:
        >>> printable("\x1b[31mred")
        '\\x1b[31mred'
    """
    return _MANY_LINES.sub(_escape, text)


def one_line(text: object, length: int = 120) -> str:
    """A name, or another word of a stranger, for the middle of a sentence: printable, on one line, cut where long.

    Args:
        text: What to show.
        length: The number of characters from which it is cut.
    """
    words = _ONE_LINE.sub(_escape, str(text))
    return words if len(words) <= length else f"{words[:length]}…"


def quoted(text: object, length: int = 200) -> str:
    """A text as Python writes it, cut where it is long."""
    words = repr(text)
    return words if len(words) <= length else f"{words[:length]}…"


def control_character(text: str) -> str | None:
    """The first character that does not belong into a name, as its escape; None where there is none."""
    match = _ONE_LINE.search(text)
    return match and _escape(match)


def _escape(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()
