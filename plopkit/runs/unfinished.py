"""A step's training on disk, while it runs: its last two states, and the ticks that they count."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from torch import Tensor

from plopkit.model.keys import current_names
from plopkit.runs.step_files import Ticks, load_ticks, save_ticks
from plopkit.support import seals
from plopkit.support.files import write_torch
from plopkit.support.printable import one_line
from plopkit.support.seals import DamagedError
from plopkit.support.torch_files import read_torch, readable

N_STATES = 2
"""Number of states that are kept: should the last one be damaged, there is the one before."""


@dataclass(frozen=True)
class TrainingStore:
    """The files of one step's training in a folder of checkpoints."""

    folder: Path
    index: int

    def state_file(self, epoch: int, batch: int = 0) -> Path:
        """The state after finished epochs and batches of the next one, by their numbers."""
        return self.folder / f"step-{self.index}.training.{epoch}.{batch}.pt"

    def ticks_file(self, epoch: int) -> Path:
        """The ticks of one epoch."""
        return self.folder / f"step-{self.index}.training.{epoch}.json"

    @property
    def earlier_state_file(self) -> Path:
        """Where earlier versions kept the state after the last finished epoch."""
        return self.folder / f"step-{self.index}.training.pt"

    def state_files(self) -> list[Path]:
        """The states that are there, the last one first."""
        places = self._places()
        earlier = [self.earlier_state_file] if self.earlier_state_file.is_file() else []
        return sorted(places, key=lambda path: places[path], reverse=True) + earlier

    def last_place(self) -> tuple[int, int]:
        """Finished epochs, and batches of the next one, of the last state; (0, 0) where there is none."""
        return max(self._places().values(), default=(0, 0))

    def _places(self) -> dict[Path, tuple[int, int]]:
        places = {}
        for path in self.folder.glob(f"step-{self.index}.training.*.pt"):
            numbers = path.name.split(".")[2:-1]
            if len(numbers) == 2 and all(number.isdigit() for number in numbers):
                places[path] = (int(numbers[0]), int(numbers[1]))
        return places

    def save(self, training: dict[str, Any], ticks: Ticks, before: str | None) -> None:
        """Keep a training's state, and the ticks of its last epoch, which may be under way.

        Those of the epochs before are kept already, each in its own file. The state is written last: only ticks that
        it counts are read back. The state before it is kept as well.

        Args:
            training: state of the training; "epoch" is its number of finished epochs, and "batch", 0 where left out,
                that of the batches of the epoch under way.
            ticks: ticks of the epoch under way, or of the last one where "batch" is 0.
            before: `StepStore.identity` of the step before.
        """
        epoch, batch = training["epoch"], training.get("batch", 0)
        save_ticks(self.ticks_file(epoch if batch else epoch - 1), ticks)
        written = self.state_file(epoch, batch)
        write_torch(written, readable({"training": training, "before": before}), seal=True)
        for path in [path for path in self.state_files() if path != written][N_STATES - 1 :]:
            seals.remove(path)

    def load(
        self, before: str | None, tell: Callable[[str], None] | None = None
    ) -> tuple[dict[str, Any], Ticks] | None:
        """The last undamaged training that `save` kept, with the ticks of all that it counts, or None.

        Args:
            before: `StepStore.identity` of the step before.
            tell: called with a line for each state that is damaged; its file is removed then.
        """
        files = self.state_files()
        for path in files:
            try:
                return self._load(path, before)
            except DamagedError as error:
                if tell is not None:
                    then = "is trained from its beginning" if path is files[-1] else "goes on from the state before"
                    tell(f"{error.path}: {error.problem}; step {self.index} {then}")
                    seals.remove(path)
        return None

    def _load(self, path: Path, before: str | None) -> tuple[dict[str, Any], Ticks]:
        """A training and its ticks; DamagedError where a file is damaged or missing."""
        content, training = _read_state(path)
        if content.get("before") not in (None, before):
            raise DamagedError(path, f"trained from another step {self.index - 1} than the one that is there")
        if "ticks" in content:  # earlier versions kept all ticks with the state
            for index, of_epoch in groupby(content["ticks"], itemgetter("epoch")):
                save_ticks(self.ticks_file(index), list(of_epoch))
        epoch, batch = training["epoch"], training.get("batch", 0)
        ticks = [tick for index in range(epoch) for tick in load_ticks(self.ticks_file(index))]
        under_way = load_ticks(self.ticks_file(epoch))[:batch] if batch else []
        if len(under_way) != batch:
            raise DamagedError(self.ticks_file(epoch), f"{len(under_way)} ticks instead of {batch}")
        return training, ticks + under_way

    def tensors(self, path: Path) -> Iterator[Tensor]:
        """The tensors of a state; DamagedError where it is damaged."""
        return _tensors(_read_state(path)[1])

    def discard(self) -> None:
        """Remove what `save` kept. Its ticks are removed last: they are not read without the state."""
        for path in self.state_files():
            seals.remove(path)
        for path in self.folder.glob(f"step-{self.index}.training.*.json"):
            seals.remove(path)


def current_training(training: dict[str, Any]) -> dict[str, Any]:
    """A training's state in today's form; plopkit 0.1 had other names, and a regularizer's tensors by kind."""
    current = training | {"net": current_names(training["net"])}
    if kinds := current.pop("watcher", None):
        flat = {f"{kind}/{name}": tensor for kind, named in kinds.items() for name, tensor in named.items()}
        current["regularizer"] = current_names(flat)
    return current


def _read_state(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of a state's file, and the training in it."""
    seals.check(path)
    try:
        content = read_torch(path)
        training = current_training(content["training"])
        if not isinstance(training["epoch"], int):
            raise ValueError("it does not count epochs")
        return content, training
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError(path, f"not a readable state ({one_line(error)})") from error


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in dictionaries and lists."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _tensors(item)
