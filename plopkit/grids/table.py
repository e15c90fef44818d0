"""The runs of a grid as one table, redrawn in a terminal; elsewhere a line whenever a run has come further."""

import shutil
import sys
import time
from collections import Counter
from collections.abc import Sequence

from plopkit.grids.state import Entry, State
from plopkit.grids.watch import Scores, words_of
from plopkit.support.bars import log
from plopkit.support.printable import one_line

HEADER = ("scenario", "method", "seed", "set", "state", *Scores._fields)
ORDER: tuple[State, ...] = ("running", "failed", "waiting", "finished")
"""Which runs are shown where a terminal is too low for all."""


class Live:
    """What is shown of a grid while it goes on, on stderr.

    Args:
        entries: the runs.
        shown: False shows nothing.
        interval: seconds between two drawings.
    """

    def __init__(self, entries: Sequence[Entry], shown: bool, interval: float = 0.5):
        self.entries, self.shown, self.interval = entries, shown, interval
        self._drawn = 0
        self._seconds = float("-inf")
        self._said: dict[int, str] = {}

    def __call__(self) -> None:
        """Show the present state."""
        if not self.shown:
            return
        if not sys.stderr.isatty():
            for index, entry in enumerate(self.entries):
                if (state := state_of(entry)) != self._said.get(index):
                    self._said[index] = state
                    if state != "waiting":
                        log(f"{entry.run}: {state}{scores_words(entry)}")
        elif time.monotonic() - self._seconds >= self.interval or not any(e.state == "running" for e in self.entries):
            size = shutil.get_terminal_size()
            lines = [line[: size.columns - 1] for line in table(self.entries, size.lines - 1)]
            back = f"\x1b[{self._drawn}F\x1b[J" if self._drawn else ""
            print(back + "\n".join(lines), file=sys.stderr, flush=True)
            self._drawn, self._seconds = len(lines), time.monotonic()


def state_of(entry: Entry) -> str:
    """A run's state in words."""
    if entry.state == "running":
        return words_of(entry.run, entry.place)
    again = entry.state == "waiting" and any(entry.place)
    return f"waiting at {words_of(entry.run, entry.place)}" if again else entry.state


def scores_words(entry: Entry) -> str:
    """mIoU so far, such as "; old 65.8, new 58.8, all 64.2"; empty where there is none."""
    scores = ", ".join(f"{name} {value:.1f}" for name, value in entry.scores._asdict().items() if value is not None)
    return f"; {scores}" if scores else ""


def table(entries: Sequence[Entry], height: int = 10_000) -> list[str]:
    """A line per run, below a header; where they are more than fit, those that go on first, and a line that counts."""
    shown = list(entries)
    if len(shown) + 1 > height:
        shown = sorted(shown, key=lambda entry: ORDER.index(entry.state))[: max(height - 2, 0)]
    rows = [HEADER, *(_row(entry) for entry in shown)]
    widths = [max(map(len, column)) if any(column[1:]) else 0 for column in zip(*rows, strict=True)]
    n_left = HEADER.index("old")
    lines = [
        "  ".join(
            cell.ljust(width) if i < n_left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            if width
        ).rstrip()
        for row in rows
    ]
    left_out = Counter(entry.state for entry in entries if entry not in shown)
    if left_out:
        lines.append("and " + ", ".join(f"{left_out[state]} {state}" for state in ORDER if left_out[state]))
    return lines


def _row(entry: Entry) -> tuple[str, ...]:
    settings = entry.run.settings
    words = (settings.scenario, settings.method, str(settings.seed), entry.run.chosen_words, state_of(entry))
    return (*map(one_line, words), *("-" if value is None else f"{value:.1f}" for value in entry.scores))
