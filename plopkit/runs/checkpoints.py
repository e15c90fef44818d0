"""Where one step's training is kept: its state while it runs, weights and the method's state when it is done."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from plopkit.methods.base import State
from plopkit.model.keys import current_names
from plopkit.model.norms import available_norm
from plopkit.model.segmenter import Segmenter, segmenter_of
from plopkit.runs.step_files import AGAIN, Ticks, load_tensors, load_ticks, save_tensors, save_ticks, unreadable
from plopkit.runs.unfinished import TrainingStore
from plopkit.settings import Model
from plopkit.support import seals
from plopkit.support.torch_files import read_metadata


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
    def training(self) -> TrainingStore:
        """The training's files, while it runs."""
        return TrainingStore(self.folder, self.index)

    def save_epoch(self, training: dict[str, Any], ticks: Ticks) -> None:
        """Keep a training's state and ticks; see `TrainingStore.save`."""
        self.training.save(training, ticks, self._identity_before())

    def load_epoch(self, tell: Callable[[str], None] | None = None) -> tuple[dict[str, Any], Ticks] | None:
        """The last undamaged training that `save_epoch` kept, if any; see `TrainingStore.load`."""
        return self.training.load(self._identity_before(), tell)

    def finish(
        self, net: Segmenter, ticks: Ticks, state: State, before: str | None = None, names: Sequence[str] = ()
    ) -> None:
        """Keep a finished step and remove its training's state.

        The checkpoint is written last: if it exists, everything else does too. It names the digest of the state, so
        that a state of another training is not taken for its own.

        Args:
            net: the net as the step leaves it.
            ticks: ticks of the whole step; empty where the weights come from elsewhere.
            state: the method's, for the next step.
            before: `identity` of the step before, which this one was trained from; None at step 0, and where the
                weights come from elsewhere.
            names: the class of each channel, the background first.
        """
        save_ticks(self.ticks_file, ticks)
        seals.remove(self.earlier_state_file)
        state_digest = None
        if state:
            save_tensors(self.state_file, state)
            state_digest = seals.digest_of(self.state_file)
        else:
            seals.remove(self.state_file)  # of an earlier training of this step
        # One entry: safetensors writes several in an order that changes from file to file.
        about = {"classes": net.classes, "recipe": net.recipe(), "state": len(state)}
        about |= {"state_sha256": state_digest, "before": before, "names": list(names)}
        save_tensors(self.checkpoint, net.state_dict(), {"step": json.dumps(about)})
        self.training.discard()

    def discard(self) -> None:
        """Remove a finished step, its checkpoint first: without it nothing else is read."""
        for path in (self.checkpoint, self.state_file, self.earlier_state_file, self.ticks_file):
            seals.remove(path)
        self.training.discard()

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
        unfinished, finished = self.training.state_files(), [self.checkpoint, self.state_file, self.earlier_state_file]
        for path in [*unfinished, *finished]:
            if path.is_file() and not seals.sealed_digests(path):
                tensors = self.training.tensors(path) if path in unfinished else load_tensors(path).values()
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
            return current_names(load_tensors(earlier)) if earlier.is_file() else {}
        if "state" not in kept:
            raise seals.DamagedError(self.checkpoint, "it does not say whether there is a state of its method", AGAIN)
        if not kept["state"]:
            return {}
        if not self.state_file.is_file():
            raise seals.DamagedError(self.state_file, "missing, and the next step needs it", AGAIN)
        state = load_tensors(self.state_file)
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
        recipe["encoder"]["norm"] = available_norm(recipe["encoder"]["norm"])
        weights = self.weights()
        try:
            return Segmenter.restored(recipe, weights)
        except ValueError as error:
            raise ValueError(f"{self.checkpoint}: {error}") from error

    def weights(self) -> dict[str, Tensor]:
        """The net's tensors under today's names."""
        tensors = load_tensors(self.checkpoint)
        return current_names(tensors) if self.recipe() is None else tensors

    def ticks(self) -> Ticks:
        """The step's ticks; DamagedError where their file is damaged or missing."""
        return load_ticks(self.ticks_file)

    def _kept(self) -> dict[str, Any]:
        """What the checkpoint says of itself."""
        if not self.checkpoint.is_file():
            raise FileNotFoundError(f"{self.checkpoint}: there is no such checkpoint (yet)")
        try:
            kept = read_metadata(self.checkpoint)
            about = json.loads(kept["step"]) if "step" in kept else {"classes": json.loads(kept["classes"])}
            if not all(isinstance(number, int) and number > 0 for number in about["classes"] or [0]):
                raise ValueError("it does not say how many channels its classifiers have")
            return about
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise unreadable(self.checkpoint, error) from error
