"""What a run leaves on disk: the folder, opened and read."""

import os
import shutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd

from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.settings import Settings, flat, from_yaml, to_yaml
from plopkit.stepstore import StepStore
from plopkit.writing import write_text


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, finished or not. The tables are read anew each time."""

    path: Path

    def __init__(self, path: Path | str):
        object.__setattr__(self, "path", Path(path))

    @property
    def settings(self) -> Settings:
        return from_yaml(self.path / "settings.yaml")

    @property
    def results(self) -> pd.DataFrame:
        """One row per step and class."""
        # A class may be named "null" or "007": names are text, and only an empty field is a missing number.
        return pd.read_csv(self.path / "results.csv", dtype={"name": str}, keep_default_na=False, na_values=[""])

    @property
    def summary(self) -> pd.DataFrame:
        """One row per step."""
        return pd.read_csv(self.path / "summary.csv")

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
        return pd.read_csv(self.path / "ticks.csv")

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
        with np.load(self.path / "examples.npz", allow_pickle=False) as file:
            return dict(file)

    def evaluated(self) -> int:
        """How many steps have their results."""
        path = self.path / "results.csv"
        return int(pd.read_csv(path)["step"].max()) + 1 if path.is_file() else 0


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
        if not noted.is_file() or noted.read_text(encoding="utf-8") != data:
            raise ValueError(f"{folder.path}: the images or masks have changed since; choose another out, or delete it")
        return folder
    # data.txt alone: the disk was full, or the power went, before settings.yaml stood beside it.
    if folder.path.is_dir() and any(path.name != "data.txt" for path in folder.path.iterdir()):
        raise ValueError(f"{folder.path}: not empty, and not a run's folder; choose another name or out")
    write_text(folder.path / "data.txt", data)
    write_text(written, to_yaml(settings))
    return folder


def check_room(settings: Settings, needed: int) -> None:
    """OSError, before any work, where ``out`` cannot be written or has fewer than ``needed`` bytes left."""
    out = settings.out
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
