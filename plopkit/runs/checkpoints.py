"""Where one step's training is kept: its state while it runs, weights and the method's state when it is done."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from plopkit.methods.base import State
from plopkit.model.keys import current_names
from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.settings import Model
from plopkit.support.files import atomic_write, write_text, write_torch

Ticks = list[dict[str, Any]]
"""Ticks as plain values."""
AGAIN = "delete it to train the step again"


@dataclass(frozen=True)
class StepStore:
    """The files of one step in a folder of checkpoints."""

    folder: Path
    index: int

    @property
    def checkpoint(self) -> Path:
        """Weights, and how to build their net."""
        return self.folder / f"step-{self.index}.safetensors"

    @property
    def ticks_file(self) -> Path:
        return self.folder / f"step-{self.index}.ticks.json"

    @property
    def state_file(self) -> Path:
        """The method's state for the next step; only where there is some."""
        return self.folder / f"step-{self.index}.state.safetensors"

    @property
    def earlier_state_file(self) -> Path:
        """Where plopkit 0.1 kept the state."""
        return self.folder / f"step-{self.index}.memory.safetensors"

    @property
    def training_file(self) -> Path:
        """The training's state after its last finished epoch; only while it runs."""
        return self.folder / f"step-{self.index}.training.pt"

    def epoch_file(self, epoch: int) -> Path:
        """The ticks of one epoch; only while the training runs."""
        return self.folder / f"step-{self.index}.training.{epoch}.json"

    def save_epoch(self, training: dict[str, Any], ticks: Ticks) -> None:
        """Keep a training's state after an epoch, and the ticks of this epoch.

        Those of the epochs before are kept already, each in its own file. The state is written last: only epochs that
        it counts are read back.
        """
        write_text(self.epoch_file(training["epoch"] - 1), json.dumps(ticks))
        write_torch(self.training_file, {"training": training})

    def load_epoch(self) -> tuple[dict[str, Any], Ticks] | None:
        """The last training that `save_epoch` kept, with the ticks of all its epochs, or None.

        Raises:
            ValueError: where a file is damaged or missing.
        """
        if not self.training_file.is_file():
            return None
        try:
            content = torch.load(self.training_file, map_location="cpu", weights_only=True)
        except (RuntimeError, EOFError, UnpicklingError) as error:
            raise ValueError(f"{self.training_file}: not a readable state ({error}); {AGAIN}") from error
        training = current_training(content["training"])
        if "ticks" in content:  # earlier versions kept all ticks with the state
            for epoch, of_epoch in groupby(content["ticks"], itemgetter("epoch")):
                write_text(self.epoch_file(epoch), json.dumps(list(of_epoch)))
        files = map(self.epoch_file, range(training["epoch"]))
        return training, [tick for file in files for tick in _read_ticks(file, self.training_file)]

    def discard_training(self) -> None:
        """Remove what `save_epoch` kept. Its ticks are removed last: they are not read without the state."""
        self.training_file.unlink(missing_ok=True)
        for path in self.folder.glob(f"step-{self.index}.training.*.json"):
            path.unlink(missing_ok=True)

    def finish(self, net: Segmenter, ticks: Ticks, state: State) -> None:
        """Keep a finished step and remove its training's state.

        The checkpoint is written last: if it exists, everything else does too.

        Args:
            net: the net as the step leaves it.
            ticks: ticks of the whole step; empty where the weights come from elsewhere.
            state: the method's, for the next step.
        """
        write_text(self.ticks_file, json.dumps(ticks))
        self.earlier_state_file.unlink(missing_ok=True)
        if state:
            _save(self.state_file, state)
        else:
            self.state_file.unlink(missing_ok=True)  # of an earlier training of this step
        # One entry: safetensors writes several in an order that changes from file to file.
        kept = {"classes": net.classes, "recipe": net.recipe(), "state": len(state)}
        _save(self.checkpoint, net.state_dict(), {"step": json.dumps(kept)})
        self.discard_training()

    def state(self) -> State:
        """The method's state after the step; empty where it left none.

        Raises:
            FileNotFoundError: where the step has no checkpoint yet.
            ValueError: where the checkpoint says that there is a state, and its file is missing or damaged.
        """
        if self.recipe() is None:
            earlier = self.earlier_state_file
            return current_names(_load(earlier)) if earlier.is_file() else {}
        if not self._kept()["state"]:
            return {}
        if not self.state_file.is_file():
            raise ValueError(
                f"{self.state_file}: the method's state after step {self.index} is missing; delete "
                f"{self.checkpoint.name} as well to train the step again"
            )
        return _load(self.state_file)

    def classes(self) -> list[int]:
        """Channels of each step's classifier."""
        return self._kept()["classes"]

    def recipe(self) -> dict[str, Any] | None:
        """What builds the net; None in a checkpoint of plopkit 0.1."""
        return self._kept().get("recipe")

    def net(self, model: Model) -> Segmenter:
        """The net as the step left it.

        Args:
            model: settings of the net, for a checkpoint of plopkit 0.1, which does not say how to build it.

        Raises:
            FileNotFoundError: where there is no checkpoint.
            ValueError: where it cannot be read, or needs a package or class that is not available.
        """
        recipe = self.recipe()
        if recipe is None:
            plain = model.model_copy(update={"weights": "none", "norm": "abn"})  # the checkpoint has all weights
            recipe = segmenter_of(plain, self.classes()).recipe()
            recipe["encoder"]["norm"] = model.norm
        if recipe["encoder"]["norm"] == "iabn" and find_spec("inplace_abn") is None:
            recipe["encoder"]["norm"] = "abn"  # the same state, the same numbers
        try:
            return Segmenter.restored(recipe, self.weights())
        except ValueError as error:
            raise ValueError(f"{self.checkpoint}: {error}") from error

    def weights(self) -> dict[str, Tensor]:
        """The net's tensors under today's names."""
        tensors = _load(self.checkpoint)
        return current_names(tensors) if self.recipe() is None else tensors

    def ticks(self) -> Ticks:
        """The step's ticks; ValueError where their file is damaged or missing."""
        return _read_ticks(self.ticks_file, self.checkpoint)

    def _kept(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        if not self.checkpoint.is_file():
            raise FileNotFoundError(f"{self.checkpoint}: there is no such checkpoint (yet)")
        try:
            with safe_open(self.checkpoint, "pt") as file:
                kept = file.metadata()
            return json.loads(kept["step"]) if "step" in kept else {"classes": json.loads(kept["classes"])}
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"{self.checkpoint}: not a readable checkpoint ({error}); {AGAIN}") from error


def current_training(training: dict[str, Any]) -> dict[str, Any]:
    """A training's state in today's form; plopkit 0.1 had other names, and a regularizer's tensors by kind."""
    current = training | {"net": current_names(training["net"])}
    if kinds := current.pop("watcher", None):
        flat = {f"{kind}/{name}": tensor for kind, named in kinds.items() for name, tensor in named.items()}
        current["regularizer"] = current_names(flat)
    return current


def _read_ticks(path: Path, owner: Path) -> Ticks:
    """Ticks from a file that belongs to another one."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, FileNotFoundError) as error:
        raise ValueError(
            f"{path}: not readable ({error}); delete it and {owner.name} to train the step again"
        ) from error


def _save(path: Path, tensors: dict[str, Tensor], kept: dict[str, str] | None = None) -> None:
    with atomic_write(path) as part:
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part, metadata=kept)
        except SafetensorError as error:  # a full disk
            raise OSError(f"{error}") from error


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{path}: not a readable checkpoint ({error}); {AGAIN}") from error
