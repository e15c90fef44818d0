"""A name that nobody knows: what was given, the nearest to it, and all that there are."""

from collections.abc import Iterable
from difflib import get_close_matches


def unknown(what: str, name: object, known: Iterable[str]) -> ValueError:
    """The error for a name that is not among the known ones."""
    known = list(known)
    near = get_close_matches(str(name).lower(), known, n=1)
    guess = f" (did you mean {near[0]}?)" if near else ""
    return ValueError(f"there is no {what} {name!r}{guess}; known: {', '.join(known)}")
