"""What a run leaves on disk: the files of its folder, listed once, and how they are read."""

import contextlib
import errno
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from plopkit.runs import origin
from plopkit.runs.domains import DOMAINS_FILE, read_domains
from plopkit.runs.results import measure_names, summarise
from plopkit.runs.tables import SUMMARY_COLUMNS, read_results, read_table
from plopkit.settings import Settings, from_yaml
from plopkit.support import seals
from plopkit.support.appending import undo_appends
from plopkit.support.files import remove_partial_files
from plopkit.support.places import expanded
from plopkit.support.printable import one_line
from plopkit.support.seals import AGAIN, DamagedError

if TYPE_CHECKING:
    from plopkit.model.segmenter import Segmenter


FILES = (".csv", ".json", ".jsonl", ".npz", ".png", ".pt", ".safetensors", ".sha256", ".state", ".txt", ".yaml")
"""Endings of the files of a run."""
LARGEST_ARRAYS = 2**29
"""Bytes of a file of arrays when it is unpacked: six images of 4096 pixels take 400 MB."""
LOOKED_AT = 0.5
"""Seconds to wait for a lock that a grid holds for a moment, when it looks whether another process works on a run."""


class RunFolder:
    """A run's folder, finished or not. Tables are read on access.

    Args:
        path: the folder.
        n_steps: read only what belongs to the first steps; None for all of them.

    Example:
        >>> folder = RunFolder("runs/emoji_15-5_overlap_plop_seed0_1a2b3c4d")
        >>> folder.summary[["step", "all", "old_nobg"]]
        >>> net = folder.net(1)
    """

    def __init__(self, path: Path | str, n_steps: int | None = None):
        self.path = expanded(path)
        self.n_steps = n_steps
        self.settings_file = self.path / "settings.yaml"
        self.data_file = self.path / "data.txt"
        """which images and checkpoints the run was made from"""
        self.images_file = self.path / "images.csv"
        """the digest of each image and mask; missing where they are drawn"""
        self.origin_file = self.path / origin.NAME
        """what made each step: versions, device, processes, the digest of the source"""
        self.results_file = self.path / "results.csv"
        """written last: a step that is in it is finished"""
        self.summary_file = self.path / "summary.csv"
        self.domains_file = self.path / DOMAINS_FILE
        """only in the protocol ``domain``"""
        self.ticks_file = self.path / "ticks.csv"
        self.log_file = self.path / "log.jsonl"
        """a JSON object on each line, where the setting `log` names jsonl"""
        self.trackers_file = self.path / "trackers.json"
        """what the trackers of the setting `log` have"""
        self.examples_file = self.path / "examples.npz"
        self.predictions = self.path / "examples"
        """what each step's net predicts for the images in ``examples.npz``"""
        self.checkpoints = self.path / "checkpoints"
        self.pictures = self.path / "pictures"
        self.lock_file = self.path / ".lock"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, RunFolder) and (self.path, self.n_steps) == (other.path, other.n_steps)

    def __hash__(self) -> int:
        return hash((self.path, self.n_steps))

    def first_steps(self, n_steps: int) -> "RunFolder":
        """The same folder as it was after its first steps: what belongs to later ones is not read.

        While a run is going on, the tables of its next step are written one after the other.
        """
        return RunFolder(self.path, n_steps)

    @cached_property
    def settings(self) -> Settings:
        """The settings that made the run, be its plugin loaded or not; ValueError where their file is damaged."""
        if not self.settings_file.exists():
            raise seals.missing(self.settings_file)
        seals.check(self.settings_file)
        return from_yaml(self.settings_file)

    @property
    def made_by(self) -> pd.DataFrame:
        """What made each step: versions, device, processes, threads, date, and the digest of the source.

        A row per step, and several where a step was resumed under other circumstances. What earlier versions have
        trained is missing.

        Raises:
            ValueError: where the file is damaged.
        """
        return origin.made_by(self.origin_file, self.n_steps)

    @property
    def results(self) -> pd.DataFrame:
        """One row per step and class; ValueError where the table is damaged."""
        return self._cut(read_results(self.results_file))

    @property
    def summary(self) -> pd.DataFrame:
        """One row per step; measures that its file lacks, as one of plopkit 0.1 does, are computed from the results."""
        table = self._cut(read_table(self.summary_file, "step", SUMMARY_COLUMNS))
        lacking = [name for name in measure_names() if name not in table]
        if lacking and self.results_file.is_file():
            computed = summarise(self.results)[["step", *lacking]]
            return table.merge(computed, "left", "step")
        return table.reindex(columns=[*table, *lacking])

    @property
    def domains(self) -> pd.DataFrame:
        """One row per step, domain and class, in the protocol ``domain``; ValueError where the table is damaged."""
        return self._cut(read_domains(self.domains_file, self.evaluated()))

    @property
    def ticks(self) -> pd.DataFrame:
        """One row per iteration."""
        return self._cut(read_table(self.ticks_file, "iteration"))

    @property
    def examples(self) -> dict[str, np.ndarray]:
        """A few validation images and what the net predicts for them after every step.

        Returns:
            images (N, 3, H, W), masks (N, H, W) of labels, predictions (steps, N, H, W) of labels, stems (N,), names by
            label, credit.

        Raises:
            FileNotFoundError: where a file is missing.
            ValueError: where one is damaged.
        """
        arrays = read_arrays(self.examples_file)
        predictions = dict(enumerate(arrays.pop("predictions", ())))  # where earlier versions kept those of all steps
        own = self.predicted_steps()
        n_steps = 1 + own[-1] if own else len(predictions)
        if self.results_file.is_file():
            n_steps = max(n_steps, self.evaluated())
        if not n_steps:
            raise FileNotFoundError(f"{self.predictions}: no predictions in it; {AGAIN}, or copy the whole run folder")
        steps = range(n_steps)[: self.n_steps] or range(1)  # one at least, for its shape
        for index in steps:
            if index in own or index not in predictions:
                predictions[index] = read_arrays(self.predictions_file(index))["predictions"]
        return arrays | {"predictions": np.stack([predictions[index] for index in steps])[: self.n_steps]}

    def predictions_file(self, index: int) -> Path:
        """Predictions after step ``index``."""
        return self.predictions / f"step-{index}.npz"

    def predicted_steps(self) -> list[int]:
        """The steps that have a file of predictions."""
        numbers = [path.stem.removeprefix("step-") for path in self.predictions.glob("step-*.npz")]
        return sorted(int(number) for number in numbers if number.isdecimal())  # others are a user's own copies

    def memory(self, index: int) -> pd.DataFrame:
        """The images of earlier steps that step ``index`` has left for the next: one row each, none without a memory.

        Columns `name`; `digest` of image and mask; `size` of both in bytes; `known`, the labels that the image's
        annotation tells apart in later targets; `shows`, the classes by which it was chosen.

        Raises:
            FileNotFoundError: where the step has no checkpoint.
            ValueError: where it cannot be read.
        """
        from plopkit.datasets.kept import Kept, from_state  # here, so that tables are read without torch
        from plopkit.runs.checkpoints import StepStore

        return pd.DataFrame(from_state(StepStore(self.checkpoints, index).state()), columns=list(Kept._fields))

    def net(self, index: int) -> "Segmenter":
        """The net as it is after step ``index``.

        Raises:
            FileNotFoundError: where there is no such checkpoint.
            ValueError: where it cannot be read.
        """
        from plopkit.runs.checkpoints import StepStore  # here, so that tables are read without torch

        return StepStore(self.checkpoints, index).net(self.settings.model)

    def evaluated(self) -> int:
        """The number of steps that have results; ValueError where the table is damaged."""
        return int(self.results["step"].max()) + 1 if self.results_file.is_file() else 0

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Lock the run for this process, and remove partial files left by a killed one.

        Raises:
            ValueError: where another process holds it.
        """
        # One lock a process: a run stopped in a notebook can be resumed there.
        lock = FileLock(self.lock_file, timeout=LOOKED_AT, is_singleton=True, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise ValueError(f"{self.path}: another process is working on this run; wait for it, or stop it") from None
        except (OSError, NotImplementedError) as error:
            warnings.warn(
                f"{self.path}: cannot be locked here ({error}); make sure that no other process works on this run",
                stacklevel=2,
            )
        try:
            if lock.lock_counter == 1:
                tidy(self.path)
            yield
        finally:
            lock.release()

    def _cut(self, table: pd.DataFrame) -> pd.DataFrame:
        return table if self.n_steps is None else table[table["step"] < self.n_steps]


def check_places(folder: Path) -> None:
    """IsADirectoryError where a folder has the place of a file, which no command mends."""
    for path in folder.rglob("*.*"):
        if path.suffix in FILES and path.is_dir():
            raise IsADirectoryError(f"{path}: a folder in the place of a file; move it away and {AGAIN}")


def tidy(folder: Path) -> None:
    """Remove what killed processes have left half written in a folder and below. Only one process may work on it."""
    remove_partial_files(folder)
    for part in folder.rglob(".tmp??????"):  # earlier versions let safetensors choose these names
        part.unlink(missing_ok=True)
    undo_appends(folder)
    seals.settle(folder)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; DamagedError where it is damaged, FileNotFoundError where it is missing."""
    if not path.exists():
        raise seals.missing(path)
    seals.check(path)
    try:
        with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
            if (size := sum(entry.file_size for entry in file.zip.infolist())) > LARGEST_ARRAYS:
                raise ValueError(f"it unpacks to {size:,} bytes, and at most {LARGEST_ARRAYS:,} are read")
            return dict(file)
    except Exception as error:  # numpy and zipfile raise almost anything for a damaged file
        if isinstance(error, OSError) and error.errno != errno.EINVAL:  # an entry that begins before the file does
            raise
        raise DamagedError(path, f"damaged ({one_line(error)})") from error
