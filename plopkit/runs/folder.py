"""What a run leaves on disk: the folder, opened and read."""

import contextlib
import os
import shutil
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import pandas as pd
from filelock import FileLock, Timeout

from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.runs.checkpoints import StepStore
from plopkit.settings import Settings, flat, from_yaml, to_yaml
from plopkit.support.files import remove_partial_files, write_text


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, finished or not. The tables are read anew each time."""

    path: Path
    n_steps: int | None = None
    """Only the first steps are read; None: all of them."""

    def __init__(self, path: Path | str, n_steps: int | None = None):
        object.__setattr__(self, "path", Path(path))
        object.__setattr__(self, "n_steps", n_steps)

    def first_steps(self, n_steps: int) -> "RunFolder":
        """The same folder as it was after its first steps: what belongs to later ones is not read.

        While a run goes on, the tables of its next step are written one after the other.
        """
        return RunFolder(self.path, n_steps)

    @property
    def settings(self) -> Settings:
        return from_yaml(self.path / "settings.yaml")

    @property
    def results(self) -> pd.DataFrame:
        """One row per step and class."""
        # A class may be named "null" or "007": names are text, and only an empty field is a missing number.
        table = pd.read_csv(self.path / "results.csv", dtype={"name": str}, keep_default_na=False, na_values=[""])
        return self._cut(table)

    @property
    def summary(self) -> pd.DataFrame:
        """One row per step."""
        return self._cut(pd.read_csv(self.path / "summary.csv"))

    def net(self, index: int) -> Segmenter:
        """The net as it is after step ``index``; FileNotFoundError, ValueError where its checkpoint cannot be read."""
        store = StepStore(self.checkpoints, index)
        model = self.settings.model.model_copy(update={"weights": "none"})  # the checkpoint brings them all
        if model.norm == "iabn" and find_spec("inplace_abn") is None:
            model = model.model_copy(update={"norm": "abn"})  # the same state, the same numbers
        net = segmenter_of(model, store.classes())
        net.load_state_dict(store.weights())
        return net

    @property
    def ticks(self) -> pd.DataFrame:
        """One row per iteration."""
        return self._cut(pd.read_csv(self.path / "ticks.csv"))

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def examples(self) -> dict[str, np.ndarray]:
        """images (N, 3, H, W), masks (N, H, W) of labels, predictions (steps, N, H, W) of labels,
        stems (N,), names by label."""
        path = self.path / "examples.npz"
        try:
            with open(path, "rb") as opened, np.load(opened, allow_pickle=False) as file:
                arrays = dict(file)
        except (ValueError, EOFError, BadZipFile, zlib.error) as error:
            raise ValueError(
                f"{path}: damaged; move it and results.csv away, and run again: what is trained is kept"
            ) from error
        if self.n_steps is not None:
            arrays["predictions"] = arrays["predictions"][: self.n_steps]
        return arrays

    def _cut(self, table: pd.DataFrame) -> pd.DataFrame:
        return table if self.n_steps is None else table[table["step"] < self.n_steps]

    def evaluated(self) -> int:
        """How many steps have their results; ValueError where the table cannot be read."""
        path = self.path / "results.csv"
        if not path.is_file():
            return 0
        try:
            return int(self._cut(pd.read_csv(path))["step"].max()) + 1
        except (ValueError, KeyError) as error:  # empty, cut short, or not ours
            raise ValueError(
                f"{path}: not a run's table ({error}); move it away, and run the same command again"
            ) from error

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run for this process, and clear what a killed one left half written.

        ValueError where another process is at it.
        """
        # One lock a process: a run that was stopped in a notebook can be taken up there again.
        lock = FileLock(self.path / ".lock", timeout=0, is_singleton=True, thread_local=False)
        try:
            lock.acquire()
        except Timeout:
            raise ValueError(f"{self.path}: another process is at this run; wait for it, or stop it") from None
        except (OSError, NotImplementedError) as error:
            warnings.warn(
                f"{self.path}: cannot be locked here ({error}); see that no other process is at this run", stacklevel=2
            )
        try:
            if lock.lock_counter == 1:
                remove_partial_files(self.path)
            yield
        finally:
            lock.release()


def open_folder(settings: Settings, data: str) -> RunFolder:
    """Make the run's folder, or take it up again; ValueError where other settings or other ``data`` made it."""
    folder = RunFolder(settings.folder())
    written = folder.path / "settings.yaml"
    if written.is_file():
        theirs, ours = flat(from_yaml(written).identity()), flat(settings.identity())
        differing = [name for name in {**theirs, **ours} if theirs.get(name) != ours.get(name)]
        if differing:
            told = "; ".join(f"{n} is {theirs.get(n)!r} there, {ours.get(n)!r} asked for" for n in sorted(differing))
            raise ValueError(
                f"{folder.path}: made with other settings: {told}. Choose another name or out, or delete it"
            )
        noted = folder.path / "data.txt"
        before, now = noted.read_text(encoding="utf-8").split() if noted.is_file() else [], data.split()
        if before != now:
            what = "checkpoints are others" if before[:2] == now[:2] else "images or masks have changed since"
            raise ValueError(f"{folder.path}: the {what}; choose another name or out, or delete it")
        return folder
    # data.txt alone, or half written: the disk was full, or the power went, before settings.yaml stood beside it.
    mine = ("data.txt", ".data.txt.*.part", ".settings.yaml.*.part")
    if folder.path.is_dir() and not all(any(map(path.match, mine)) for path in folder.path.iterdir()):
        raise ValueError(f"{folder.path}: not empty, and not a run's folder; choose another name or out")
    write_text(folder.path / "data.txt", data)
    write_text(written, to_yaml(settings))
    return folder


def check_room(settings: Settings, needed: int) -> None:
    """OSError, before any work, where ``out`` cannot be written or has too few bytes left.

    needed: by the whole run; what stands in its folder already is taken off.
    """
    out = settings.out
    needed -= sum(path.stat().st_size for path in settings.folder().rglob("*") if path.is_file())
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe = out / f".writable.{os.getpid()}.part"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise type(error)(
            f"{out}: cannot be written ({error.strerror or error}); choose another folder with out"
        ) from None
    free = shutil.disk_usage(out).free
    if free < needed:
        raise OSError(
            f"{out}: {free // 2**20:,} MiB are free, this run needs about {-(-needed // 2**20):,} MiB; "
            "make room, or choose another folder with out"
        )
