"""Progress bars where a line can be drawn over, and short plain lines elsewhere, as in a log file."""

import sys
from collections.abc import Iterable
from typing import Any

from tqdm.auto import tqdm

from plopkit.support.printable import printable


def redraws() -> bool:
    """Whether progress is shown in a terminal or a notebook, where a bar can be drawn over the last one."""
    return sys.stderr.isatty() or any(base.__module__ == "tqdm.notebook" for base in tqdm.__mro__)


def log(line: str) -> None:
    """Write a line to stderr at once."""
    print(printable(line), file=sys.stderr, flush=True)


def notice(line: str) -> None:
    """Write a line to stderr that the user has to know, above the progress bars, if there are any."""
    tqdm.write(printable(line), file=sys.stderr)
    sys.stderr.flush()


def progress_bar(
    items: Iterable[Any] | None = None,
    description: str = "",
    total: float | None = None,
    *,
    shown: bool = True,
    **options: Any,
) -> tqdm:
    """A bar of tqdm's; where lines cannot be drawn over, the description is written once instead.

    Args:
        items: What to iterate over; None where the bar is updated by hand.
        description: What is being done.
        total: Number of items.
        shown: False gives no bar and no line.
        options: Further options of tqdm.
    """
    if shown and not redraws():
        log(f"{description} …")
    return tqdm(items, description, total, disable=not (shown and redraws()), **options)
