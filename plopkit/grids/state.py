"""The state of each run of a grid, and what becomes of it when its process ends."""

import contextlib
import signal
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from plopkit.grids.plan import PlannedRun
from plopkit.grids.watch import Place, Scores, is_busy, is_finished, place_of, scores_of
from plopkit.support.places import read_limited
from plopkit.support.printable import printable
from plopkit.support.signals import SIGNALS

FILES = ".grid"
"""The folder of a grid's own files, below `Settings.out`: what each run's process has printed, and Slurm's scripts."""
RESTARTS = 3
"""How often a run that is killed without progress is started again."""
LONGEST = 6
"""Lines of an error that are repeated."""
State = Literal["waiting", "running", "finished", "failed"]
NOWHERE, UNKNOWN = Place(), Scores()


@dataclass
class Entry:
    """A run of a grid, and how far it is."""

    run: PlannedRun
    state: State = "waiting"
    place: Place = NOWHERE
    scores: Scores = UNKNOWN
    message: str = ""
    """why it failed"""
    restarts: int = 0
    """how often it was started again without progress"""
    started_from: Place = NOWHERE
    log_begins: int = 0
    """bytes of the log before its last start"""
    seconds: float = field(default=0.0, repr=False)
    """when it was looked at last"""

    @property
    def log(self) -> Path:
        """What its processes have printed."""
        return self.run.settings.out / FILES / f"{self.run.settings.folder().name}.log"

    def look(self, interval: float = 0.0) -> None:
        """Read from the folder how far the run is, unless it was read within the interval, in seconds.

        A process that is just writing, or that was killed in it, may leave what cannot be read; it is left as it was.
        """
        if time.monotonic() - self.seconds < interval:
            return
        with contextlib.suppress(ValueError, FileNotFoundError):
            self.place, self.scores = place_of(self.run), scores_of(self.run)
        self.seconds = time.monotonic()

    def started(self) -> None:
        """Note that a process begins."""
        self.look()
        self.state, self.started_from = "running", self.place
        self.log_begins = self.log.stat().st_size if self.log.is_file() else 0

    def finished(self) -> None:
        """Note that all is there."""
        self.look()
        self.state, self.message = "finished", ""

    def ended(self, code: int) -> None:
        """Note how the process has ended, with an exit code or, negative, by a signal.

        A run that was killed waits to be started again, and continues where it was saved. One that another process,
        such as one of a second grid, has begun at the same moment waits for that one.
        """
        self.look()
        if code == 0:
            done = self.place.evaluated == self.run.n_steps
            self.state, self.message = ("finished", "") if done else ("failed", "it ended without results")
        elif not (number := signal_of(code)) and is_busy(self.run):
            self.state = "waiting"
        elif not number and is_finished(self.run):  # meanwhile, by another process
            self.finished()
        elif not number:
            self.state, self.message = "failed", self.error() or f"it ended with exit code {code}"
        else:
            self.restarts = 0 if self.place > self.started_from else self.restarts + 1
            self.state = "waiting"
            if self.restarts > RESTARTS:
                name = signal.Signals(number).name
                hint = ", as the system does where memory is short" if number == getattr(signal, "SIGKILL", 0) else ""
                self.state = "failed"
                self.message = f"killed by {name}{hint}: {self.restarts} times in a row without progress"

    def error(self) -> str:
        """The last error in the log since the process was started; empty where there is none."""
        try:
            text = read_limited(self.log, 2**26, "a log of a run")[self.log_begins :].decode(errors="replace")
        except (OSError, ValueError):
            return ""
        lines = [line.rstrip() for line in text.splitlines() if line.strip()]
        last = max((i for i, line in enumerate(lines) if line.startswith("plopkit: ")), default=len(lines) - 1)
        return printable("\n".join(lines[max(last, 0) :][:LONGEST]).removeprefix("plopkit: "))


def entries_of(runs: Iterable[PlannedRun]) -> list[Entry]:
    """The runs of a grid as their folders say: finished, or waiting."""
    entries = []
    for run in runs:
        entry = Entry(run, "finished" if is_finished(run) else "waiting")
        entry.look()
        entries.append(entry)
    return entries


def signal_of(code: int) -> int:
    """The number of the signal that has ended a process, also where it has saved its training first; else 0."""
    if code < 0:
        return -code
    return code - 128 if code - 128 in {*SIGNALS, 9} else 0
