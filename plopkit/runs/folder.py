"""What a run leaves on disk: the files of its folder, listed once, and how they are read."""

import contextlib
import errno
import hashlib
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from plopkit.runs.tables import SUMMARY_COLUMNS, read_results, read_table
from plopkit.settings import Settings, flat, from_yaml, to_yaml
from plopkit.support import seals
from plopkit.support.appending import undo_appends
from plopkit.support.bars import notice
from plopkit.support.files import remove_partial_files, write_text
from plopkit.support.places import expanded
from plopkit.support.printable import one_line
from plopkit.support.seals import AGAIN, DamagedError

if TYPE_CHECKING:
    from plopkit.model.segmenter import Segmenter


LARGEST_ARRAYS = 2**29
"""Bytes of a file of arrays when it is unpacked: six images of 4096 pixels take 400 MB."""


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
        self.results_file = self.path / "results.csv"
        """written last: a step that is in it is finished"""
        self.summary_file = self.path / "summary.csv"
        self.ticks_file = self.path / "ticks.csv"
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
        seals.check(self.settings_file)
        return from_yaml(self.settings_file)

    @property
    def results(self) -> pd.DataFrame:
        """One row per step and class; ValueError where the table is damaged."""
        return self._cut(read_results(self.results_file))

    @property
    def summary(self) -> pd.DataFrame:
        """One row per step."""
        return self._cut(read_table(self.summary_file, "step", SUMMARY_COLUMNS))

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
        return sorted(int(path.stem.removeprefix("step-")) for path in self.predictions.glob("step-*.npz"))

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
        lock = FileLock(self.lock_file, timeout=0, is_singleton=True, thread_local=False)
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


def tidy(folder: Path) -> None:
    """Remove what killed processes have left half written in a folder and below. Only one process may work on it."""
    remove_partial_files(folder)
    for part in folder.rglob(".tmp??????"):  # earlier versions let safetensors choose these names
        part.unlink(missing_ok=True)
    undo_appends(folder)
    seals.settle(folder)


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an .npz file; DamagedError where it is damaged."""
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


def open_folder(settings: Settings, data: str) -> RunFolder:
    """Make a run's folder, or open the one that is there; what is lost of settings and data is written again.

    Args:
        settings: settings of the run.
        data: says which images and checkpoints the run is made from.

    Raises:
        ValueError: where other settings or other data made the folder, or it is not a run's.
    """
    folder = RunFolder(settings.folder())
    settings_lost = _lost_settings(folder, settings)
    data_lost = _lost_data(folder, data, settings_lost == NEW)
    for path, text, lost in (
        (folder.data_file, data, data_lost),
        (folder.settings_file, to_yaml(settings), settings_lost),
    ):
        if lost:
            if lost != NEW:
                notice(f"{path}: {lost}; written again")
            write_text(path, text, seal=True)
    return folder


NEW = "new"


def _lost_settings(folder: RunFolder, settings: Settings) -> str:
    """Why the settings have to be written: "" where they are there, and those of this run.

    The name of a folder holds a digest of the settings, unless the user has named it. The seal knows the settings, too.
    """
    path = folder.settings_file
    if path.is_file():
        try:
            differing, problem = _differences(from_yaml(path), settings), "damaged"
        except ValueError as error:
            problem = one_line(str(error).removeprefix(f"{path}: ").partition(";")[0], 300)  # without the remedy
        else:
            if not differing:
                return "" if seals.is_intact(path) else "damaged, or its seal is"
            if seals.is_intact(path) and settings.name is not None:
                raise ValueError(
                    f"{folder.path}: made with other settings: {differing}. Choose another name or out, or delete it"
                )
    elif _is_begun(folder):
        problem = "missing"
    else:
        return NEW
    known = seals.sealed_digests(path)
    if settings.name is None or hashlib.sha256(to_yaml(settings).encode()).hexdigest() in known:
        return problem
    raise DamagedError(
        path,
        problem,
        "repeat the command with exactly the settings that made this run, put back a copy of the file, or choose "
        "another name or out",
    )


def _is_begun(folder: RunFolder) -> bool:
    """Whether a folder without settings is a run's; ValueError where it holds something else."""
    if not folder.path.is_dir():
        return False
    # data.txt alone, or half written: the disk was full, or the power failed, before settings.yaml was written.
    leftovers = (folder.data_file.name, ".data.txt.*", ".settings.yaml.*", ".*.part", folder.lock_file.name)
    if all(any(map(path.match, leftovers)) for path in folder.path.iterdir()):
        return False
    if not any(path.exists() for path in (folder.data_file, seals.seal_file(folder.data_file), folder.checkpoints)):
        raise ValueError(f"{folder.path}: not empty, and not a run's folder; choose another name or out")
    return True


def _lost_data(folder: RunFolder, data: str, is_new: bool) -> str:
    """Why `data.txt` has to be written: "" where it is there, and says the same."""
    path = folder.data_file
    recorded = path.read_bytes().decode(errors="replace").split() if path.is_file() else []
    if recorded == data.split():
        return "" if seals.is_intact(path) else "its seal is damaged"
    if is_new:
        return NEW
    problem = "damaged" if recorded else "missing"
    if hashlib.sha256(data.encode()).hexdigest() in seals.sealed_digests(path):
        return problem
    if recorded and seals.is_intact(path):
        same_images = recorded[:2] == data.split()[:2]
        checkpoints, images = "the checkpoints are not those of this run", "the images or masks have changed"
        changed = checkpoints if same_images else f"{images} since this run was made"
        raise ValueError(f"{folder.path}: {changed}; choose another name or out, or delete it")
    raise DamagedError(
        path,
        f"{problem}, so that nothing says whether the images are still those of this run",
        f"if they are, write this line to it: {data.strip()} - otherwise choose another name or out",
    )


def _differences(recorded: Settings, settings: Settings) -> str:
    """The settings that decide a run's numbers and differ; empty where none does."""
    before, now = flat(recorded.identity()), flat(settings.identity())
    differing = sorted(name for name in {**before, **now} if before.get(name) != now.get(name))
    return "; ".join(f"{name} was {before.get(name)!r}, and is now {now.get(name)!r}" for name in differing)


def check_room(settings: Settings, needed: int) -> None:
    """Check, before any work, that ``out`` can be written and has enough space.

    Args:
        settings: settings of the run.
        needed: bytes of the whole run; what its folder holds already is subtracted.

    Raises:
        OSError: where ``out`` is not writable or lacks space.
    """
    out = settings.out
    needed -= sum(path.stat().st_size for path in settings.folder().rglob("*") if path.is_file())
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()  # has no name that a killed process could leave
    except OSError as error:
        raise type(error)(
            f"{out}: cannot be written ({error.strerror or error}); choose another folder with out"
        ) from None
    free = shutil.disk_usage(out).free
    if free < needed:
        raise OSError(
            f"{out}: {free // 2**20:,} MiB are free, this run needs about {-(-needed // 2**20):,} MiB; "
            "free disk space, or choose another folder with out"
        )
