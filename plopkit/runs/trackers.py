"""Where a run is logged: a file of JSON lines, or one of Accelerate's trackers (TensorBoard, Weights & Biases, MLflow).

A log is a sequence of records, one for each iteration and one for each evaluated step, and `count` is the number of
records so far. A tracker keeps how many it has, so that a run that is continued continues its log.
"""

import importlib.util
import json
import math
import secrets
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from accelerate.tracking import GeneralTracker, MLflowTracker, TensorBoardTracker, WandBTracker
from PIL import Image

from plopkit.runs.folder import RunFolder
from plopkit.settings import Settings, flat
from plopkit.support import seals
from plopkit.support.appending import append_text, read_appended, replace_text
from plopkit.support.bars import notice
from plopkit.support.files import write_text
from plopkit.support.seals import DamagedError

Record = Mapping[str, Any]
"""What is logged at once; its values are numbers, texts, None, and dictionaries of them."""

INTERVAL = 2.0
"""Seconds after which what has been logged is written down."""
PROJECT = "plopkit"
"""The project, or experiment, of all runs in a tracker."""


class Tracker(ABC):
    """Takes the records of one run in their order."""

    package: ClassVar[tuple[str, ...]] = ()
    """Any of these has to be installed."""

    def __init__(self, folder: RunFolder, settings: Settings):
        self.folder, self.settings = folder, settings
        self.count = 0
        """Number of the records that it has."""
        self._written_at = time.monotonic()

    @abstractmethod
    def start(self) -> None:
        """Open the log, and set `count`."""

    @abstractmethod
    def rewind(self, count: int) -> None:
        """Take back the records after the first ``count``, which are made again, as far as the tracker can."""

    @abstractmethod
    def add(self, record: Record) -> None:
        """Log the next record."""

    @abstractmethod
    def write(self) -> None:
        """Write down what has been logged, so that a continued run knows it."""

    def write_if_due(self) -> None:
        """`write`, if `INTERVAL` has passed."""
        if time.monotonic() - self._written_at >= INTERVAL:
            self.write()
            self._written_at = time.monotonic()

    def close(self) -> None:
        """Write down everything, and close the log."""
        self.write()


class JsonLines(Tracker):
    """A file with a JSON object on each line: first the settings, then the records."""

    def __init__(self, folder: RunFolder, settings: Settings):
        super().__init__(folder, settings)
        self.path = folder.log_file
        self._lines: list[str] = []

    def start(self) -> None:
        """Go on with the file that is there. A damaged one is written again: the run's folder has what it says."""
        try:
            self.count = len(read_appended(self.path).splitlines()) - 1
        except FileNotFoundError:
            self._write_anew([])
        except DamagedError as error:
            notice(f"{error.path}: {error.problem}; written again")
            self._write_anew([])

    def rewind(self, count: int) -> None:
        if self.count > count:
            self.write()
            self._write_anew(read_appended(self.path).decode().splitlines()[1 : 1 + count])

    def add(self, record: Record) -> None:
        self._lines.append(_line(record))
        self.count += 1

    def write(self) -> None:
        if self._lines:
            append_text(self.path, "".join(self._lines))
            self._lines.clear()

    def _write_anew(self, lines: Sequence[str]) -> None:
        settings = {"kind": "settings", "version": 1, "settings": self.settings.model_dump(mode="json")}
        replace_text(self.path, "".join([_line(settings), *(f"{line}\n" for line in lines)]))
        self.count = len(lines)


class AcceleratesTracker(Tracker):
    """One of Accelerate's trackers. `trackers.json` in the run's folder notes its records and the run's name there."""

    name: ClassVar[str]
    every: ClassVar[int] = 1
    """Of the iterations within an epoch, only every n-th is logged."""

    def __init__(self, folder: RunFolder, settings: Settings):
        super().__init__(folder, settings)
        self._id = ""
        self._open: GeneralTracker | None = None

    @abstractmethod
    def make(self) -> GeneralTracker:
        """The tracker, which continues with `_id` after `count` records."""

    @abstractmethod
    def log_picture(self, tracker: GeneralTracker, path: Path) -> None:
        """Log a picture with the record that has been logged last."""

    def log_settings(self, tracker: GeneralTracker) -> None:
        """Log the settings, once in a run."""
        values = flat(self.settings.model_dump(mode="json"))
        tracker.store_init_configuration({name: _plain(value) for name, value in values.items()})

    def start(self) -> None:
        note = read_notes(self.folder.trackers_file).get(self.name, {})
        self.count, self._id = int(note.get("count", 0)), str(note.get("id", ""))
        self._begin()
        if not note:
            assert self._open is not None
            self.log_settings(self._open)
            self.write()

    def _begin(self) -> None:
        self._open = self.make()
        self._open.start()

    def rewind(self, count: int) -> None:
        """Records that a tracker cannot take back stay; those that come again are left out."""

    def add(self, record: Record) -> None:
        assert self._open is not None
        self.count += 1
        if record["kind"] == "iteration" and self.count % self.every and not record["epoch_done"]:
            return
        self._open.log(flat_numbers(record), step=self.count)
        if picture := record.get("picture"):
            self.log_picture(self._open, self.folder.path / picture)

    def write(self) -> None:
        notes = read_notes(self.folder.trackers_file) | {self.name: {"count": self.count, "id": self._id}}
        write_text(self.folder.trackers_file, json.dumps(notes, indent=1) + "\n", seal=True)

    def close(self) -> None:
        super().close()
        if self._open is not None:
            self._open.finish()


class TensorBoard(AcceleratesTracker):
    """Event files in the run's folder: `tensorboard --logdir runs` shows all runs."""

    name = "tensorboard"
    package = ("tensorboard", "tensorboardX")

    def make(self) -> GeneralTracker:
        # What a killed process has logged after its last note is hidden, and logged again.
        return TensorBoardTracker("tensorboard", self.folder.path, purge_step=self.count + 1)

    def log_settings(self, tracker: GeneralTracker) -> None:
        """As text: Accelerate's way is another run with nothing else in it."""
        values = flat(self.settings.model_dump(mode="json"))
        tracker.log({"settings": "\n".join(f"    {name}: {value}" for name, value in values.items())}, step=0)

    def rewind(self, count: int) -> None:
        if self.count > count and self._open is not None:
            self._open.finish()
            self.count = count
            self._begin()

    def log_picture(self, tracker: GeneralTracker, path: Path) -> None:
        tracker.log_images({"predictions": _pixels(path)[None]}, step=self.count, dataformats="NHWC")


class WandB(AcceleratesTracker):
    """A run in the project plopkit of Weights & Biases, or of its local files with WANDB_MODE=offline."""

    name = "wandb"
    package = ("wandb",)

    def make(self) -> GeneralTracker:
        self._id = self._id or secrets.token_hex(4)
        name = self.folder.path.name
        return WandBTracker(PROJECT, id=self._id, name=name, resume="allow", dir=str(self.folder.path))

    def log_picture(self, tracker: GeneralTracker, path: Path) -> None:
        tracker.log_images({"predictions": [_pixels(path)]}, step=self.count)


class MLflow(AcceleratesTracker):
    """A run in the experiment plopkit of MLflow, on the server of MLFLOW_TRACKING_URI."""

    name = "mlflow"
    package = ("mlflow",)
    every = 10  # each is a request that the training waits for

    def make(self) -> GeneralTracker:
        return MLflowTracker(PROJECT, run_id=self._id or None, run_name=self.folder.path.name)

    def _begin(self) -> None:
        super()._begin()
        assert self._open is not None
        self._id = self._open.tracker.info.run_id

    def log_picture(self, tracker: GeneralTracker, path: Path) -> None:
        tracker.log_artifact(str(path), "pictures")


KINDS: dict[str, type[Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow, "jsonl": JsonLines}
"""By the names in `plopkit.settings.TRACKERS`."""


def check_packages(names: Sequence[str]) -> None:
    """ValueError where the package of a tracker is not installed; names it."""
    for name in names:
        packages = KINDS[name].package
        if packages and not any(map(_is_installed, packages)):
            raise ValueError(
                f"log {name} needs the package {packages[0]}, which is not installed: pip install {packages[0]}, or "
                f"leave {name} out of log"
            )


def _is_installed(package: str) -> bool:
    return package in sys.modules or importlib.util.find_spec(package) is not None


def read_notes(path: Path) -> dict[str, dict[str, Any]]:
    """What `trackers.json` says of each tracker; nothing where it is missing or damaged."""
    try:
        seals.check(path)
        notes = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(notes, dict) and all(isinstance(note, dict) for note in notes.values()):
            return notes
        problem = "damaged"
    except FileNotFoundError:
        return {}
    except DamagedError as error:
        problem = error.problem
    except ValueError:
        problem = "damaged"
    notice(f"{path}: {problem}; the trackers that it names begin again")
    return {}


def flat_numbers(record: Record) -> dict[str, float]:
    """The numbers of a record by name, such as `loss/ce`; what is not finite is left out."""
    numbers: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            numbers |= {f"{name}/{inner}": number for inner, number in flat_numbers(value).items()}
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            numbers[name] = value
    return numbers


def each_safely(trackers: list[Tracker], do: Callable[[Tracker], None]) -> None:
    """Do something with each tracker. One that fails is removed, with a notice: no log is worth a run."""
    for tracker in list(trackers):
        try:
            do(tracker)
        except Exception as error:  # trackers raise almost anything
            trackers.remove(tracker)
            name = next(name for name, kind in KINDS.items() if isinstance(tracker, kind))
            words = str(error).strip().split("\n")[0] or type(error).__name__
            notice(f"log {name}: {words}; the run goes on without it, and logs the rest when it is continued")


def _line(record: Record) -> str:
    return json.dumps(_finite(record), allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    """The value with None for what is no finite number."""
    if isinstance(value, Mapping):
        return {name: _finite(each) for name, each in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _plain(value: Any) -> Any:
    """A setting as trackers take it."""
    return value if isinstance(value, bool | int | float | str) else str(value)


def _pixels(path: Path) -> np.ndarray:
    """A picture, (H, W, 3)."""
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
