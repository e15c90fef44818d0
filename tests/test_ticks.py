"""The losses of an iteration are read late on a device with a queue, and nothing else in the loop waits for it."""

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from batches import WITHOUT_WAITS, begun, prepared_by
from torch.utils._python_dispatch import TorchDispatchMode

from plopkit import ticks
from plopkit.catalogue import METHODS
from plopkit.methods import METHODS as CLASSES
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Scenario
from plopkit.settings import Optim
from plopkit.ticks import Place, Reading
from plopkit.trainer import Training, fit

Nets = Callable[..., Segmenter]
SCENARIO = Scenario.parse("emoji 15-5 overlap")
SECOND = SCENARIO.steps[1]
PLACE = Place(1, 2, 4)


def test_losses_become_numbers_by_name() -> None:
    losses = {"ce": torch.tensor(1.5, requires_grad=True), "pod": torch.tensor(2, dtype=torch.float64)}
    reading = Reading(losses, PLACE)
    assert not reading.queued
    assert reading.numbers == {"ce": 1.5, "pod": 2.0}


def test_the_first_loss_that_is_not_finite_is_named() -> None:
    losses = {"ce": torch.tensor(1.0), "pod": torch.tensor(float("inf")), "kd": torch.tensor(float("nan"))}
    with pytest.raises(FloatingPointError, match=r"'pod' is inf in step 1, epoch 2, iteration 4; lower optim\.lr"):
        _ = Reading(losses, PLACE).numbers


class Queue:
    """A queue that notes, for every wait, how many iterations have been given to it."""

    def __init__(self) -> None:
        self.given = 0
        self.waits: list[tuple[int, int]] = []
        """(iteration waited for, iterations given)"""

    def record_event(self) -> Any:
        mark = self.given
        self.given += 1
        queue = self

        class Event:
            def synchronize(self) -> None:
                queue.waits.append((mark, queue.given))

        return Event()


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Lets the CPU pass for a device with a queue."""
    queue = Queue()
    monkeypatch.setattr(ticks, "QUEUEING", ("cpu",))
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda device: queue)
    return queue


class Waits(TorchDispatchMode):
    """Counts the operations whose result the host must know, for which it would wait until a GPU's queue is empty."""

    NAMES = (
        "_local_scalar_dense",
        "nonzero",
        "nonzero_static",
        "masked_select",
        "_unique2",
        "unique_dim",
        "is_nonzero",
    )
    NAMES += ("equal", "bincount", "repeat_interleave")

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        masks = name in ("index", "index_put", "index_put_") and any(
            isinstance(index, torch.Tensor) and index.dtype == torch.bool for index in args[1] if index is not None
        )
        if masks or name in self.NAMES:
            self.found[name] += 1
        return func(*args, **(kwargs or {}))


BY_PARTS = [name for name in WITHOUT_WAITS if name not in ("star", "star-m")]
"""Those whose losses may be computed from a part of a batch."""


@pytest.mark.parametrize(
    ("name", "parts"), [*((name, None) for name in WITHOUT_WAITS), *((name, 2) for name in BY_PARTS)]
)
def test_the_loop_waits_for_a_loss_only_and_late(
    name: str, parts: int | None, tiny_net: Nets, accelerator: Accelerator, queue: Queue
) -> None:
    method = CLASSES[name]()
    before, teacher, net = begun(method, tiny_net(16), SCENARIO)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(4, 3, 64, 64, generator=generator)
    targets = torch.randint(16, 21, (4, 64, 64), generator=generator)
    batches = [(images, targets)] * 3
    regularizer = method.regularizer(net, {})
    if regularizer is not None:  # one that has learnt importances
        regularizer = method.regularizer(net, regularizer.final_state(net))
    training = Training(net, Optim(epochs_later=2, epochs=2, batch=4), SECOND, method, regularizer)
    prepared = prepared_by(method, teacher or before, batches, SECOND)
    waits = Waits()
    with counted(torch.Tensor, "tolist") as lists, counted(torch.Tensor, "numpy") as arrays, waits:
        found = list(fit(training, batches, method, SECOND, accelerator, teacher, prepared, parts))
    assert [tick.iteration for tick in found] == list(range(6))
    assert [tick.epoch_done for tick in found] == [False, False, True] * 2
    # Each is read when the next iteration has been given to the queue, the last of an epoch at once.
    assert queue.waits == [(0, 2), (1, 3), (2, 3), (3, 5), (4, 6), (5, 6)]
    assert dict(waits.found) == {}
    assert len(lists) == 6 and not arrays


@contextlib.contextmanager
def counted(owner: Any, name: str) -> Iterator[list[Any]]:
    """The calls of a function, noted."""
    calls: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        function = getattr(owner, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            calls.append(args)
            return function(*args, **kwargs)

        patch.setattr(owner, name, call)
        yield calls


def test_the_count_of_waits_can_fail() -> None:
    with Waits() as waits:
        values = torch.arange(4.0)
        values[values > 1].sum().item()
    assert dict(waits.found) == {"index": 1, "_local_scalar_dense": 1}


def test_a_late_loss_that_is_not_finite_ends_the_training(
    tiny_net: Nets, accelerator: Accelerator, queue: Queue
) -> None:
    net = tiny_net(16)
    method = METHODS["ft"]()
    batches = [
        (torch.full((2, 3, 64, 64), value), torch.zeros(2, 64, 64, dtype=torch.int64)) for value in (0.0, float("nan"))
    ]
    training = Training(net, Optim(epochs=1, batch=2), Scenario.parse("emoji 15-5 overlap").steps[0], method)
    step = Scenario.parse("emoji 15-5 overlap").steps[0]
    with pytest.raises(FloatingPointError, match="iteration 1;"):
        list(fit(training, batches, method, step, accelerator))
