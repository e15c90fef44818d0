"""Figures in matplotlib's own style, whatever a user's `matplotlibrc` says.

A `matplotlibrc` with `text.usetex: True` would start LaTeX for every label, and another with large fonts would push the
labels out of pictures whose places are fixed. A user's own figures, before and after, keep the user's style.
"""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import matplotlib

Function = TypeVar("Function", bound=Callable[..., Any])

_KEPT = ("backend", "interactive", "toolbar", "webagg.", "tk.", "macosx.", "keymap.", "docstring.", "savefig.directory")
"""Where windows open and what their keys do is the user's choice."""

_turn = threading.RLock()  # matplotlib's settings belong to the process


def styled(function: Function) -> Function:
    """A function that makes or draws a figure, with matplotlib's default settings while it runs."""

    @functools.wraps(function)
    def in_own_style(*args: Any, **named: Any) -> Any:
        with own_style():
            return function(*args, **named)

    return in_own_style  # type: ignore[return-value]


@contextlib.contextmanager
def own_style(**settings: Any) -> Iterator[None]:
    """matplotlib's default settings, and these; threads take turns."""
    changed: Any = _changed() | settings
    with _turn, matplotlib.rc_context(changed):
        yield


def _changed() -> dict[str, Any]:
    """The defaults of those settings that have another value now."""
    now = matplotlib.rcParams
    return {
        name: value
        for name, value in matplotlib.rcParamsDefault.items()
        if not name.startswith(_KEPT) and dict.__getitem__(now, name) != value
    }
