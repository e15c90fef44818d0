"""Where one step's training is kept: its state while it goes on, its weights when it is done."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from plopkit.support.files import atomic_write, write_text, write_torch


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
        write_torch(self._state, {"training": state, "ticks": ticks})

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
        try:
            return json.loads(self._ticks.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(
                f"{self._ticks}: not readable ({error}); delete it and {self.checkpoint.name} to train anew"
            ) from error

    def copy_to(self, other: "StepStore") -> None:
        """Copy what ``finish`` kept; ValueError where it cannot be read."""
        self.ticks()
        self.weights()
        for name in ("_ticks", "_memory", "checkpoint"):
            mine, theirs = getattr(self, name), getattr(other, name)
            if mine.is_file():
                with atomic_write(theirs) as part:
                    shutil.copyfile(mine, part)


def _save(path: Path, tensors: dict[str, Tensor], note: dict[str, str] | None = None) -> None:
    with atomic_write(path) as part:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, metadata=note)
        except SafetensorError as error:  # a full disk
            raise OSError(f"{error}") from error


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({error}); delete it to train anew") from error
