"""Where one step's training is kept: its state while it runs, weights and the method's state when it is done."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from safetensors.torch import save as as_bytes
from torch import Tensor

from plopkit.methods.base import State
from plopkit.model.keys import current_names
from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.settings import Model
from plopkit.support import seals
from plopkit.support.files import write_bytes, write_text, write_torch
from plopkit.support.printable import one_line
from plopkit.support.torch_files import read_metadata, read_safetensors, read_torch, readable

Ticks = list[dict[str, Any]]
"""Ticks as plain values."""
AGAIN = "run the command of this run again: the step is trained again"
N_TRAININGS = 2
"""Number of states of a training that are kept: should the last one be damaged, there is the one before."""


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
    def earlier_training_file(self) -> Path:
        """Where earlier versions kept the training's state after its last finished epoch."""
        return self.folder / f"step-{self.index}.training.pt"

    def training_file(self, epoch: int, batch: int = 0) -> Path:
        """The training's state after so many finished epochs, and batches of the next one; only while it runs."""
        return self.folder / f"step-{self.index}.training.{epoch}.{batch}.pt"

    def epoch_file(self, epoch: int) -> Path:
        """The ticks of one epoch; only while the training runs."""
        return self.folder / f"step-{self.index}.training.{epoch}.json"

    def training_files(self) -> list[Path]:
        """The states of the training that are there, the last one first."""
        places = {}
        for path in self.folder.glob(f"step-{self.index}.training.*.pt"):
            numbers = path.name.split(".")[2:-1]
            if len(numbers) == 2 and all(number.isdigit() for number in numbers):
                places[path] = (int(numbers[0]), int(numbers[1]))
        earlier = [self.earlier_training_file] if self.earlier_training_file.is_file() else []
        return sorted(places, key=lambda path: places[path], reverse=True) + earlier

    def save_epoch(self, training: dict[str, Any], ticks: Ticks) -> None:
        """Keep a training's state, and the ticks of its last epoch, which may be under way.

        Those of the epochs before are kept already, each in its own file. The state is written last: only ticks that
        it counts are read back. The state before it is kept as well.

        Args:
            training: state of the training; "epoch" is its number of finished epochs, and "batch", 0 where left out,
                that of the batches of the epoch under way.
            ticks: ticks of the epoch under way, or of the last one where "batch" is 0.
        """
        epoch, batch = training["epoch"], training.get("batch", 0)
        write_text(self.epoch_file(epoch if batch else epoch - 1), json.dumps(ticks), seal=True)
        written = self.training_file(epoch, batch)
        write_torch(written, readable({"training": training, "before": self._identity_before()}), seal=True)
        for path in [path for path in self.training_files() if path != written][N_TRAININGS - 1 :]:
            seals.remove(path)

    def load_epoch(self, tell: Callable[[str], None] | None = None) -> tuple[dict[str, Any], Ticks] | None:
        """The last undamaged training that `save_epoch` kept, with the ticks of all that it counts, or None.

        Args:
            tell: called with a line for each state that is damaged; its file is removed then.
        """
        files = self.training_files()
        for path in files:
            try:
                return self._load_training(path)
            except seals.DamagedError as error:
                if tell is not None:
                    then = "is trained from its beginning" if path is files[-1] else "goes on from the state before"
                    tell(f"{error.path}: {error.problem}; step {self.index} {then}")
                    seals.remove(path)
        return None

    def _load_training(self, path: Path) -> tuple[dict[str, Any], Ticks]:
        """A training and its ticks; DamagedError where a file is damaged or missing."""
        seals.check(path)
        try:
            content = read_torch(path)
            training = current_training(content["training"])
            epoch, batch, before = training["epoch"], training.get("batch", 0), content.get("before")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise seals.DamagedError(path, f"not a readable state ({one_line(error)})") from error
        if before not in (None, self._identity_before()):
            raise seals.DamagedError(path, f"trained from another step {self.index - 1} than the one that is there")
        if "ticks" in content:  # earlier versions kept all ticks with the state
            for index, of_epoch in groupby(content["ticks"], itemgetter("epoch")):
                write_text(self.epoch_file(index), json.dumps(list(of_epoch)), seal=True)
        ticks = [tick for index in range(epoch) for tick in _read_ticks(self.epoch_file(index))]
        under_way = _read_ticks(self.epoch_file(epoch))[:batch] if batch else []
        if len(under_way) != batch:
            raise seals.DamagedError(self.epoch_file(epoch), f"{len(under_way)} ticks instead of {batch}")
        return training, ticks + under_way

    def discard_training(self) -> None:
        """Remove what `save_epoch` kept. Its ticks are removed last: they are not read without the state."""
        for path in self.training_files():
            seals.remove(path)
        for path in self.folder.glob(f"step-{self.index}.training.*.json"):
            seals.remove(path)

    def finish(self, net: Segmenter, ticks: Ticks, state: State, before: str | None = None) -> None:
        """Keep a finished step and remove its training's state.

        The checkpoint is written last: if it exists, everything else does too. It names the digest of the state, so
        that a state of another training is not taken for its own.

        Args:
            net: the net as the step leaves it.
            ticks: ticks of the whole step; empty where the weights come from elsewhere.
            state: the method's, for the next step.
            before: `identity` of the step before, which this one was trained from; None at step 0, and where the
                weights come from elsewhere.
        """
        write_text(self.ticks_file, json.dumps(ticks), seal=True)
        seals.remove(self.earlier_state_file)
        state_digest = None
        if state:
            _save(self.state_file, state)
            state_digest = seals.digest_of(self.state_file)
        else:
            seals.remove(self.state_file)  # of an earlier training of this step
        # One entry: safetensors writes several in an order that changes from file to file.
        about = {"classes": net.classes, "recipe": net.recipe(), "state": len(state)}
        about |= {"state_sha256": state_digest, "before": before}
        _save(self.checkpoint, net.state_dict(), {"step": json.dumps(about)})
        self.discard_training()

    def discard(self) -> None:
        """Remove a finished step, its checkpoint first: without it nothing else is read."""
        for path in (self.checkpoint, self.state_file, self.earlier_state_file, self.ticks_file):
            seals.remove(path)
        self.discard_training()

    def identity(self) -> str:
        """The SHA-256 of the checkpoint, which names that of the state: what the next step is trained from."""
        sealed = seals.sealed_digests(self.checkpoint)
        return sealed[0] if len(sealed) == 1 else seals.digest_of(self.checkpoint)

    def _identity_before(self) -> str | None:
        """The `identity` of the step before; None at step 0, and where it has no checkpoint."""
        before = StepStore(self.folder, self.index - 1)
        return before.identity() if before.checkpoint.is_file() else None

    def problem(self, before: str | None = None) -> tuple[Path, str] | None:
        """The first file of a finished step that cannot be used, and why; None where all can, or there is no step.

        Args:
            before: `identity` of the step before; None where it is unknown.
        """
        if not self.checkpoint.is_file():
            return None
        try:
            seals.check(self.checkpoint)
            trained_from = self._kept().get("before")
            if None not in (before, trained_from) and before != trained_from:
                return self.checkpoint, f"trained from another step {self.index - 1} than the one that is there"
            self.state()
            self.ticks()
        except seals.DamagedError as error:
            return error.path, error.problem
        return None

    def not_finite(self) -> Path | None:
        """A file without a seal whose floating-point numbers are not all finite: the training, the net or the state."""
        for path in [*self.training_files(), self.checkpoint, self.state_file, self.earlier_state_file]:
            if path.is_file() and not seals.sealed_digests(path):
                tensors = _tensors(_load(path) if path.suffix == ".safetensors" else self._load_training(path)[0])
                if not all(tensor.isfinite().all() for tensor in tensors):
                    return path
        return None

    def state(self) -> State:
        """The method's state after the step; empty where it left none.

        Raises:
            FileNotFoundError: where the step has no checkpoint yet.
            DamagedError: where the checkpoint says that there is a state, and its file is missing or damaged.
        """
        kept = self._kept()
        if "recipe" not in kept:
            earlier = self.earlier_state_file
            return current_names(_load(earlier)) if earlier.is_file() else {}
        if not kept["state"]:
            return {}
        if not self.state_file.is_file():
            raise seals.DamagedError(self.state_file, "missing, and the next step needs it", AGAIN)
        state = _load(self.state_file)
        if kept.get("state_sha256") not in (None, seals.digest_of(self.state_file)):
            raise seals.DamagedError(self.state_file, f"not the state that belongs to {self.checkpoint.name}", AGAIN)
        return state

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
            DamagedError: where it cannot be read.
            ValueError: where it needs a package or class that is not available.
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
        """The step's ticks; DamagedError where their file is damaged or missing."""
        return _read_ticks(self.ticks_file)

    def _kept(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        if not self.checkpoint.is_file():
            raise FileNotFoundError(f"{self.checkpoint}: there is no such checkpoint (yet)")
        try:
            kept = read_metadata(self.checkpoint)
            return json.loads(kept["step"]) if "step" in kept else {"classes": json.loads(kept["classes"])}
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise _unreadable(self.checkpoint, error) from error


def current_training(training: dict[str, Any]) -> dict[str, Any]:
    """A training's state in today's form; plopkit 0.1 had other names, and a regularizer's tensors by kind."""
    current = training | {"net": current_names(training["net"])}
    if kinds := current.pop("watcher", None):
        flat = {f"{kind}/{name}": tensor for kind, named in kinds.items() for name, tensor in named.items()}
        current["regularizer"] = current_names(flat)
    return current


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in dictionaries and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)


def _read_ticks(path: Path) -> Ticks:
    try:
        seals.check(path, AGAIN)
        ticks = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(ticks, list):
            raise ValueError("no list")
        return ticks
    except FileNotFoundError:
        raise seals.DamagedError(path, "missing", AGAIN) from None
    except seals.DamagedError:
        raise
    except (ValueError, RecursionError) as error:
        raise seals.DamagedError(path, f"not readable ({one_line(error)})", AGAIN) from error


def _save(path: Path, tensors: dict[str, Tensor], about: dict[str, str] | None = None) -> None:
    # As bytes: `save_file` makes a temporary file of its own, and a killed process leaves it.
    write_bytes(path, as_bytes({name: tensor.contiguous() for name, tensor in tensors.items()}, about), seal=True)


def _load(path: Path) -> dict[str, Tensor]:
    seals.check(path, AGAIN)
    try:
        return read_safetensors(path)
    except ValueError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> seals.DamagedError:
    return seals.DamagedError(path, f"not a readable checkpoint ({one_line(error)})", AGAIN)
