"""What a run logs: a record for each iteration and for each evaluated step, to the trackers of the setting `log`.

All that is logged is in the run's folder as well, apart from the memory in use. So a log that ends too early, or begins
too late, is filled up from there, and a run whose steps are finished can still be logged.
"""

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from plopkit import viz
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import GROUPS, measure_names
from plopkit.runs.trackers import KINDS, Record, Tracker, each_safely
from plopkit.settings import Settings
from plopkit.support.seals import DamagedError
from plopkit.ticks import Tick
from plopkit.viz.png import save

MIB = 2**20


class Logbook:
    """The log of one run; the main process has one. Without trackers it does nothing.

    Args:
        settings: settings of the run.
        folder: its folder, which nobody else works on.
        title: title of its pictures.
    """

    def __init__(self, settings: Settings, folder: RunFolder, title: str = ""):
        self._folder, self._title, self._batch = folder, title, settings.optim.batch
        self._trackers: list[Tracker] = []
        self._count = 0
        """number of the records of finished steps"""
        self._begun = False
        """whether an iteration of the step under way has been logged"""
        self._trackers += [KINDS[name](folder, settings) for name in settings.log]
        each_safely(self._trackers, lambda tracker: tracker.start())

    @property
    def is_on(self) -> bool:
        """Whether there is a tracker that works."""
        return bool(self._trackers)

    def add_tick(self, tick: Tick, done: Sequence[Mapping[str, Any]], accelerator: Accelerator) -> None:
        """Log an iteration of this process.

        Args:
            tick: the iteration.
            done: all ticks of the step so far, as plain values; those before may have been made by another process.
            accelerator: its device's memory is logged.
        """
        if not self._trackers:
            return
        if not self._begun:
            self._begun = True
            self._fill_up(done[: tick.iteration])
            each_safely(self._trackers, lambda tracker: tracker.rewind(self._count + tick.iteration))
        record = self._iteration(asdict(tick)) | {"memory_mib": memory(accelerator.device) / MIB}
        self._add(record, tick.epoch_done)

    def add_step(self, index: int, ticks: Sequence[Mapping[str, Any]]) -> None:
        """Log what is not logged yet of a step that is trained and evaluated.

        Args:
            index: the step.
            ticks: all its ticks.
        """
        if self._trackers:
            self._fill_up(ticks)
            count = self._count + len(ticks) + 1
            if any(tracker.count < count for tracker in self._trackers):
                self._add(self._evaluation(index, count), is_due=True)
        self._count, self._begun = self._count + len(ticks) + 1, False

    def close(self) -> None:
        """Write everything down."""
        each_safely(self._trackers, lambda tracker: tracker.close())
        self._trackers.clear()

    def _fill_up(self, ticks: Sequence[Mapping[str, Any]]) -> None:
        """Log those of a step's ticks that a tracker lacks."""
        first = min((tracker.count for tracker in self._trackers), default=0)
        for tick in ticks[max(0, first - self._count) :]:
            self._add(self._iteration(tick))

    def _add(self, record: Record, is_due: bool = False) -> None:
        """Give a record to the trackers that do not have it."""

        def add(tracker: Tracker) -> None:
            if tracker.count == record["count"] - 1:
                tracker.add(record)
            if is_due:
                tracker.write()
            else:
                tracker.write_if_due()

        each_safely(self._trackers, add)

    def _iteration(self, tick: Mapping[str, Any]) -> dict[str, Any]:
        total = sum(tick["losses"].values())
        return {
            "kind": "iteration",
            "count": self._count + tick["iteration"] + 1,
            "step": tick["step"],
            "epoch": tick["epoch"],
            "iteration": tick["iteration"],
            "epoch_done": bool(tick.get("epoch_done")),
            "loss": {**tick["losses"], "total": total},
            "lr": tick["lr"],
            "seconds": tick["seconds"],
            "images_per_second": self._batch / tick["seconds"] if tick["seconds"] else None,
        }

    def _evaluation(self, index: int, count: int) -> dict[str, Any]:
        summary = self._folder.summary
        row = summary[summary["step"] == index].iloc[0]
        numbers = {name: float(row[name]) for name in measure_names()}
        miou = {name: numbers.pop(name) for name in GROUPS}
        picture = self._picture(index)
        return {
            "kind": "evaluation",
            "count": count,
            "step": index,
            "miou": miou,
            **numbers,
            "picture": picture and picture.relative_to(self._folder.path).as_posix(),
        }

    def _picture(self, index: int) -> Path | None:
        """A picture of the predictions up to a step; None where their files are missing, which mending makes again."""
        path = self._folder.pictures / f"step-{index}.png"
        try:
            examples = self._folder.first_steps(index + 1).examples
        except (FileNotFoundError, DamagedError):
            return None
        save(viz.strip(examples, f"{self._title}, after step {index}"), path, seal=True)
        return path


def memory(device: torch.device) -> int:
    """Bytes in use: the most that a GPU has held so far, or on a CPU what this process holds now."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # no Linux: the most that it has held
        return _largest_resident()


def _largest_resident() -> int:
    try:
        import resource
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
