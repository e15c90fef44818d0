"""A run in a separate thread, which can be paused between two batches."""

import contextlib
import html
import threading
import traceback
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from plopkit.runs.experiment import Experiment
from plopkit.runs.machine import explained
from plopkit.runs.start import with_start
from plopkit.runs.written import folder_of
from plopkit.settings import Settings
from plopkit.support.heap import keep_freed_memory
from plopkit.support.printable import printable
from plopkit.ticks import Tick
from plopkit.viz.colours import ERROR


@dataclass(frozen=True)
class Status:
    """What a run is doing, in words, and how much of it is done."""

    message: str
    done: int = 0
    total: int = 1


class Cancelled(Exception):
    """A paused run was given up. On disk it can be resumed where it was paused."""


class BackgroundRun:
    """Trains one run in a thread. ``pause`` takes effect before the next batch, and ``resume`` continues with it.

    A paused run has saved its training.

    Args:
        settings: settings of the run.
        force: go on with what is there, whatever made it; see `plopkit.run`.
    """

    def __init__(self, settings: Settings, force: bool = False):
        self.settings, self.force = settings, force
        self.ticks: list[Tick] = []
        """All iterations trained by this thread. It is only ever appended to, so other threads may read it."""
        self.status = Status("opening the data")
        self.n_steps = 0
        """The scenario's number of steps, once the data are open."""
        self.error: BaseException | None = None
        self.waiting = False
        """Whether a paused run has reached the next batch; until then it finishes its last one."""
        self._unpaused = threading.Event()
        self._unpaused.set()
        self._cancelled = False
        self._experiment: Experiment | None = None
        keep_freed_memory()  # before the thread begins, which has a heap of its own otherwise
        self._thread = threading.Thread(target=self._work, name="plopkit run", daemon=True)
        self._thread.start()

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def paused(self) -> bool:
        return self.alive and not self._unpaused.is_set()

    def pause(self) -> None:
        self._unpaused.clear()

    def resume(self) -> None:
        self._unpaused.set()

    def cancel(self) -> None:
        """Give the run up, and wait until it has released its net and its files."""
        self._cancelled = True
        self.resume()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._wait_while_paused()
            self._experiment = experiment = Experiment.open(self.settings, force=self.force)
            self.n_steps = len(experiment.scenario.steps)
            self.status = Status("starting")
            self._wait_while_paused()
            with contextlib.closing(experiment.ticks(self._pausable)) as ticks:
                for tick in ticks:
                    self.ticks.append(tick)
                    self.status = self._status_of(tick)
                    self._wait_while_paused()
        except Cancelled:
            return
        except BaseException as error:
            self.error = error

    def _pausable(self, items: Iterable[Any], description: str, total: int) -> Iterator[Any]:
        """The progress of passes that give no ticks, such as an evaluation; they can be paused, too."""
        for done, item in enumerate(items):
            self.status = Status(description, done, total)
            self._wait_while_paused()
            yield item
        self.status = Status(f"{description} is done", total, total)

    def _wait_while_paused(self) -> None:
        if not self._unpaused.is_set():
            if self._experiment is not None:
                self._experiment.save()  # the kernel may be gone before somebody resumes
            self.waiting = True
            self._unpaused.wait()
            self.waiting = False
        if self._cancelled:
            raise Cancelled

    def _status_of(self, tick: Tick) -> Status:
        done = tick.iteration + 1
        losses = ", ".join(f"{name} {value:.3g}" for name, value in tick.losses.items())
        where = f"step {tick.step}/{self.n_steps - 1}, epoch {tick.epoch + 1}/{tick.epochs}, "
        where += f"iteration {done}/{tick.n_iterations}"
        left = self._experiment and self._experiment.time_left
        return Status(f"{where}; {losses}" + (f"; {left} left" if left else ""), done, tick.n_iterations)


_latest: BackgroundRun | None = None


def start_or_resume(settings: Settings, force: bool = False) -> BackgroundRun:
    """Start a run of these settings; if the kernel's latest run has the same settings and is not finished, resume it.

    One run at a time: Accelerate keeps device and precision for the whole process. Another run that is paused is
    cancelled.

    Raises:
        ValueError: another run is training in this kernel.
    """
    global _latest
    if _latest is not None and _latest.alive:
        if _latest.settings == settings:
            _latest.resume()
            return _latest
        if not _latest.paused:
            training = folder_of(with_start(_latest.settings)).path
            raise ValueError(f"another run is training in this kernel: {training}; stop it first")
        _latest.cancel()
    _latest = BackgroundRun(settings, force)
    return _latest


def error_html(error: BaseException) -> str:
    """An error as HTML; with its traceback, folded, unless it is one that the user can correct."""
    correctable = explained(error)
    message = f"<b style='color:{ERROR}'>{_escaped(correctable or str(error) or type(error).__name__)}</b>"
    if correctable is not None:
        return message
    lines = _escaped("".join(traceback.format_exception(error)))
    return f"<b>{type(error).__name__}</b> {message}<details><summary>traceback</summary><pre>{lines}</pre></details>"


def _escaped(text: str) -> str:
    return html.escape(printable(text))
