"""A run, and what would have become of it, had it been stopped within its second step: compared byte by byte."""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from small_runs import Place, small, ticks_until

if TYPE_CHECKING:
    from plopkit.settings import Settings

FEW: dict[str, Any] = {"data__scenes": 24, "data__val_scenes": 4, "optim__batch": 4}
"""Further arguments of `small`: few images, and still two batches of step 1 of emoji 15-5."""


class RefusedError(Exception):
    """The settings are refused, and nothing was written."""


class Resumed(NamedTuple):
    """What a run and its stopped copy have left."""

    different: list[str]
    """the files that are not the same, or in one folder only"""
    trained: list[Place]
    """iterations of step 1"""
    trained_after: list[Place]
    """those that the copy has trained"""

    @property
    def well(self) -> bool:
        """Whether all files are the same, and the copy has trained what was left, and only that."""
        return not self.different and self.trained_after == self.trained[1:] and len(self.trained) != 1


def resumed(out: Path, method: str, **overrides: Any) -> Resumed:
    """Run a method on emoji 15-5, copy its folder after the first iteration of step 1, and let the copy go on.

    The copy is what a process leaves that ends there. That of a method without iterations is made where step 1 ends.

    Args:
        out: the folder for both runs; methods share their step 0 there.
        method: the method.
        overrides: as for `small`.

    Raises:
        RefusedError: the method does not allow these settings.
    """
    from plopkit.runs.experiment import Experiment

    try:
        settings = small(out, method=method, **FEW | overrides)
    except ValueError as error:
        raise RefusedError(str(error)) from error
    other = settings.model_copy(update={"out": out / "stopped"})

    def copy() -> None:
        if not other.folder().exists():
            shutil.copytree(settings.folder(), other.folder())

    with _without_clock():
        try:
            experiment = Experiment.open(settings)
        except ValueError as error:
            if settings.folder().exists():
                raise
            raise RefusedError(str(error)) from error
        trained = []
        with _calling_before_the_end_of(1, copy), contextlib.closing(experiment.ticks()) as ticks:
            for tick in ticks:
                if tick.step == 1:
                    trained.append((tick.step, tick.epoch, tick.iteration))
                    if len(trained) == 1:
                        experiment.save()
                        copy()
        with _without_dry_run():
            trained_after = ticks_until(Experiment.open(other))
    expected, found = _digests(settings), _digests(other)
    different = sorted(name for name in expected | found if expected.get(name) != found.get(name))
    return Resumed(different, trained, trained_after)


@contextlib.contextmanager
def _without_clock() -> Iterator[None]:
    """Tables and seals hold the seconds of iterations; here they are the same in every run. Pictures are left out."""
    from plopkit import trainer
    from plopkit.runs import experiment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: 0.0))
        patch.setattr(experiment, "draw_pictures", lambda *_: None)
        yield


@contextlib.contextmanager
def _without_dry_run() -> Iterator[None]:
    """What one opening has tried is not tried again by the next."""
    from plopkit.runs import experiment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(experiment, "dry_run", lambda *_: None)
        yield


@contextlib.contextmanager
def _calling_before_the_end_of(index: int, do: Callable[[], None]) -> Iterator[None]:
    """Call a function when a step has been trained, before anything of its end is computed or written."""
    from plopkit.runs.steps import Steps

    end = Steps.end

    def watched(self: Steps, step: Any, *rest: Any) -> Any:
        if step.index == index:
            do()
        return end(self, step, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Steps, "end", watched)
        yield


def _digests(settings: "Settings") -> dict[str, str]:
    """Of the files of a run, except those that name its folder or a date, by their names."""
    folder = settings.folder()
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file() and not path.name.removeprefix(".").startswith(("settings.yaml", "origin.json"))
    }
