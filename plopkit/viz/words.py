"""The words of alt texts: what a mask shows, how a series of numbers runs, an enumeration."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from jaxtyping import Integer

from plopkit.scenario import ignored_id
from plopkit.support.printable import one_line

MOST = 4  # classes that are named of a mask; a sentence that is read aloud should end


def enumerated(words: Iterable[str]) -> str:
    """Words with commas and a last "and".

    Example:
        >>> enumerated(["cat", "dog", "bus"])
        'cat, dog and bus'
    """
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def contents(mask: Integer[np.ndarray, "*shape"], names: Sequence[str]) -> str:
    """The classes of a mask with their shares of its pixels, the largest first, without background.

    Example:
        >>> contents(np.array([[0, 0], [0, 1]]), ["background", "cat"])
        'cat 25 %'
    """
    labels, counts = np.unique(np.asarray(mask), return_counts=True)
    shares = {int(label): count / counts.sum() for label, count in zip(labels, counts, strict=True)}
    shown = sorted((label for label in shares if label not in (0, ignored_id(len(names)))), key=lambda k: -shares[k])
    words = [f"{one_line(names[label])} {_percent(shares[label])}" for label in shown[:MOST]]
    if len(shown) > MOST:
        words.append(f"{len(shown) - MOST} more")
    return enumerated(words) if words else "no object"


def _percent(share: float) -> str:
    return "under 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")


def course(values: Iterable[float], form: str = ".1f") -> str:
    """How numbers run, from the first to the last: "61.0 to 3.2"; numbers that are not known are passed over.

    Example:
        >>> course([61.04, float("nan"), 20, 3.2])
        '61.0 to 3.2'
    """
    known = [float(value) for value in values if np.isfinite(value)]
    if not known:
        return "none"
    return f"{known[0]:{form}}" if len(known) == 1 else f"{known[0]:{form}} to {known[-1]:{form}}"


def each(values: Mapping[str, str]) -> str:
    """Names with what there is to say about each: "ft 61.0 to 3.2, plop 61.0 to 52.5"."""
    return ", ".join(f"{one_line(name)} {words}" for name, words in values.items())
