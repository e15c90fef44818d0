"""Errors in the processes that load images are those that the training process would raise."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from coloured import Coloured
from torch.utils.data import get_worker_info

from plopkit.datasets.steps import Selection, StepDataset, eval_loader, train_loader
from plopkit.datasets.transforms import train_transform
from plopkit.runs.machine import ResourceError, resources_explained
from plopkit.scenario import Scenario
from plopkit.settings import Settings

STEP = Scenario.parse("voc joint").steps[0]


class Spoilt(Coloured):
    """Fails for image 3."""

    error: Exception = ValueError("images/3.jpg: damaged or truncated; replace the file")

    def read(self, index: int) -> Any:
        if index == 3:
            raise self.error
        return super().read(index)


def dataset_of(source: Coloured) -> StepDataset:
    return StepDataset(source, Selection.of(list(range(8)), STEP.lookup("seen")), train_transform(32))


class NeedsMore(RuntimeError):
    """An error that pickle cannot make again."""

    def __init__(self, first: str, second: str):
        super().__init__(f"{first} {second}")


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (Spoilt.error, ValueError, "images/3.jpg: damaged or truncated; replace the file"),
        (
            FileNotFoundError(2, "No such file", "images/3.jpg"),
            FileNotFoundError,
            "[Errno 2] No such file: 'images/3.jpg'",
        ),
        (KeyError("a"), KeyError, "'a'"),
        (NeedsMore("a", "b"), RuntimeError, "a b"),
    ],
    ids=["ValueError", "FileNotFoundError", "KeyError", "NeedsMore"],
)
def test_the_message_is_the_same_in_a_worker(workers: int, error: Exception, kind: type, message: str) -> None:
    source = Spoilt(8)
    source.error = error
    for loader in (train_loader(dataset_of(source), 2, 0, workers), eval_loader(dataset_of(source), 2, workers)):
        with pytest.raises(kind) as raised:
            list(loader)
        shown = str(raised.value)
        assert shown in (message, f"NeedsMore: {message}")
        if workers and not isinstance(error, NeedsMore):
            assert "In a process that loads images" in "".join(raised.value.__notes__)


def test_workers_give_the_same_batches() -> None:
    alone, shared = (list(train_loader(dataset_of(Coloured(8)), 2, 0, workers)) for workers in (0, 2))
    assert len(alone) == len(shared) == 4
    for one, other in zip(alone, shared, strict=True):
        assert all(map(torch.equal, one, other))


class Deadly(Coloured):
    """Ends the process that reads image 3, as the system does where memory is short."""

    def read(self, index: int) -> Any:
        if index == 3 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().read(index)


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="the signal is of POSIX")
def test_a_killed_worker_is_explained() -> None:
    settings = Settings.model_validate({"compute": {"workers": 2}})
    with (
        pytest.raises(ResourceError, match=r"was ended from outside .* lower compute\.workers \(now 2\): 0 loads"),
        resources_explained(settings),
    ):
        list(train_loader(dataset_of(Deadly(8)), 2, 0, 2))
