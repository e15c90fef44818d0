"""The error for an unknown name: the unknown name, the known name nearest to it, and all known names."""

from collections.abc import Iterable
from difflib import get_close_matches

from plopkit.support.printable import quoted


class UnknownNameError(ValueError, KeyError):
    """A name that is not among the known ones. A `ValueError` for users, a `KeyError` for mappings."""

    def __str__(self) -> str:
        return str(self.args[0])  # KeyError would show the text in quotes


def unknown_name(what: str, name: object, known: Iterable[str], hint: str = "") -> UnknownNameError:
    """Make the error for a name that is not among the known ones.

    Args:
        what: The kind of name, such as "method".
        name: The unknown name.
        known: Every name that is possible.
        hint: How further names become known.
    """
    known = list(known)
    near = get_close_matches(str(name).lower()[:100], known, n=1)  # this takes the square of the length
    guess = f" (did you mean {near[0]}?)" if near else ""
    further = f"; {hint}" if hint else ""
    return UnknownNameError(f"there is no {what} {quoted(name)}{guess}; known: {', '.join(known)}{further}")
