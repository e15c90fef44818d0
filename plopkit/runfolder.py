"""What a run leaves on disk. Every file is written beside its place and then moved there: never half of one."""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.settings import Settings, flat, from_yaml, to_yaml


@dataclass(frozen=True)
class RunFolder:
    """A run's folder, finished or not. The tables are read anew each time."""

    path: Path

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
            f"{out}: {free / 2**20:.0f} MiB are free, this run needs about {needed / 2**20:.0f} MiB; "
            "make room, or choose another folder with out"
        )


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; moved there at the end if it was written, removed where anything fails."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        mode = part.stat().st_mode
        yield part
        if part.stat().st_size:
            part.chmod(mode)  # safetensors makes a file that only its owner may read
            os.replace(part, path)
    except OSError as error:
        raise type(error)(
            f"{path}: cannot be written ({error.strerror or error}); make room or mend the rights and run the same "
            "command again: it goes on from the last finished epoch"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    with replacing(path) as part:
        part.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """CSV with six digits after the point: the same numbers give the same bytes."""
    write_text(path, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    with replacing(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


@dataclass(frozen=True)
class StepStore:
    """Where one step's training is kept: while it goes on, and when it is done."""

    folder: Path
    index: int

    @property
    def checkpoint(self) -> Path:
        return self.folder / f"step-{self.index}.safetensors"

    @property
    def _ticks(self) -> Path:
        return self.folder / f"step-{self.index}.ticks.json"

    @property
    def _memory(self) -> Path:
        return self.folder / f"step-{self.index}.memory.safetensors"

    @property
    def _state(self) -> Path:
        return self.folder / f"step-{self.index}.training.pt"

    def save_epoch(self, state: dict[str, Any], ticks: list[dict[str, Any]]) -> None:
        with replacing(self._state) as part:
            try:
                torch.save({"training": state, "ticks": ticks}, part)
            except RuntimeError as error:  # torch's writer turns a full disk into this
                raise OSError(f"{error}") from error

    def load_epoch(self) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """What ``save_epoch`` kept; None where nothing is kept."""
        if not self._state.is_file():
            return None
        try:
            kept = torch.load(self._state, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError) as error:
            raise ValueError(f"{self._state}: not a readable state ({error}); delete it to train anew") from error
        return kept["training"], kept["ticks"]

    def finish(
        self,
        weights: dict[str, Tensor],
        ticks: list[dict[str, Any]],
        note: dict[str, str],
        memory: dict[str, dict[str, Tensor]] | None = None,
    ) -> None:
        """Keep the weights, then forget the training's state. The checkpoint comes last: where it is, all is.

        memory: what the method's watcher hands on to the next step.
        """
        write_text(self._ticks, json.dumps(ticks))
        if memory is not None:
            _save(self._memory, {f"{kind}/{name}": t for kind, named in memory.items() for name, t in named.items()})
        _save(self.checkpoint, weights, note)
        self._state.unlink(missing_ok=True)

    def memory(self) -> dict[str, dict[str, Tensor]] | None:
        """What ``finish`` was given; None where there was none."""
        if not self._memory.is_file():
            return None
        found: dict[str, dict[str, Tensor]] = {}
        for key, tensor in _load(self._memory).items():
            kind, _, name = key.partition("/")
            found.setdefault(kind, {})[name] = tensor
        return found

    def classes(self) -> list[int]:
        """Channels of each step's classifier."""
        if not self.checkpoint.is_file():
            raise FileNotFoundError(f"{self.checkpoint}: there is no such checkpoint (yet)")
        try:
            with safe_open(self.checkpoint, "pt") as file:
                return json.loads(file.metadata()["classes"])
        except (SafetensorError, OSError, KeyError, TypeError) as error:
            raise ValueError(
                f"{self.checkpoint}: not a readable checkpoint ({error}); delete it to train anew"
            ) from error

    def weights(self) -> dict[str, Tensor]:
        return _load(self.checkpoint)

    def ticks(self) -> list[dict[str, Any]]:
        return json.loads(self._ticks.read_text(encoding="utf-8"))

    def copy_to(self, other: "StepStore") -> None:
        for name in ("_ticks", "_memory", "checkpoint"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine.is_file():
                with replacing(theirs) as part:
                    shutil.copyfile(mine, part)


def _save(path: Path, tensors: dict[str, Tensor], note: dict[str, str] | None = None) -> None:
    with replacing(path) as part:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, metadata=note)
        except SafetensorError as error:  # a full disk, as above
            raise OSError(f"{error}") from error


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({error}); delete it to train anew") from error
