"""A run in a thread of its own, held and let go between two batches."""

import html
import threading
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from plopkit import Experiment, Settings
from plopkit.trainer import Tick


@dataclass(frozen=True)
class Progress:
    """What a run is at: in words, and so many of so many done."""

    told: str
    done: int = 0
    of: int = 1


class Dropped(Exception):
    """A held run is given up; on disk it goes on from its last finished epoch."""


class Worker:
    """Trains one run. ``hold`` takes effect before the next batch, ``release`` goes on with the very next."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.ticks: list[Tick] = []
        """All iterations of this sitting; only ever appended to, so that another thread may look."""
        self.progress = Progress("opening the data")
        self.steps = 0
        """How many steps the scenario has, once the data are open."""
        self.error: BaseException | None = None
        self.waiting = False
        """Has it come to the gate, since it was held? Until then it is at its last batch."""
        self._open_gate = threading.Event()
        self._open_gate.set()
        self._dropped = False
        self._thread = threading.Thread(target=self._work, name="plopkit run", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def held(self) -> bool:
        return self.alive and not self._open_gate.is_set()

    def hold(self) -> None:
        self._open_gate.clear()

    def release(self) -> None:
        self._open_gate.set()

    def drop(self) -> None:
        """Give the run up, and wait until it lets go of its net and its files."""
        self._dropped = True
        self.release()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._pass_gate()
            experiment = Experiment(self.settings)
            self.steps = len(experiment.scenario.steps)
            self.progress = Progress("beginning")
            self._pass_gate()
            for tick in experiment.ticks(self._gated):
                self.ticks.append(tick)
                self.progress = self._told(tick)
                self._pass_gate()
        except Dropped:
            return
        except BaseException as error:
            self.error = error

    def _gated(self, items: Iterable[Any], description: str, total: int) -> Iterator[Any]:
        """A ``Wrap``: the passes that give no ticks are held as well."""
        for done, item in enumerate(items):
            self.progress = Progress(description, done, total)
            self._pass_gate()
            yield item
        self.progress = Progress(f"{description} is done", total, total)

    def _pass_gate(self) -> None:
        self.waiting = not self._open_gate.is_set()
        self._open_gate.wait()
        self.waiting = False
        if self._dropped:
            raise Dropped

    def _told(self, tick: Tick) -> Progress:
        done = tick.iteration + 1
        left = int(fmean(one.seconds for one in self.ticks[-30:] if one.step == tick.step) * (tick.of - done))
        losses = ", ".join(f"{name} {value:.3g}" for name, value in tick.losses.items())
        told = f"step {tick.step}/{self.steps - 1}, epoch {tick.epoch + 1}/{tick.epochs}, iteration {done}/{tick.of}"
        return Progress(f"{told}; {losses}; about {left // 60}:{left % 60:02} left in this step", done, tick.of)


_latest: Worker | None = None


def begin(settings: Settings) -> Worker:
    """A worker on these settings; if the kernel's latest is still at them, that one, going on.

    One run at a time: Accelerate keeps device and precision for the whole process. Another that is held is dropped;
    ValueError where another is not.
    """
    global _latest
    if _latest is not None and _latest.alive:
        if _latest.settings == settings:
            _latest.release()
            return _latest
        if not _latest.held:
            raise ValueError(f"another run is on in this kernel: {_latest.settings.folder()}; stop it first")
        _latest.drop()
    _latest = Worker(settings)
    return _latest


def explained(error: BaseException) -> str:
    """An error in words; one that is not of the user's making with its traceback, folded."""
    told = f"<b style='color:#D55E00'>{html.escape(str(error) or type(error).__name__)}</b>"
    if isinstance(error, ValueError | OSError | FloatingPointError):
        return told
    lines = html.escape("".join(traceback.format_exception(error)))
    return (
        f"<b>{type(error).__name__}</b> {told}<details><summary>where it happened</summary><pre>{lines}</pre></details>"
    )
