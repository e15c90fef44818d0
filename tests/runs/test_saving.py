"""A training within an epoch: what is saved, when, and that it goes on with the same numbers."""

import contextlib
import itertools
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from small_runs import TWO_EPOCHS, small, ticks_until

from plopkit import trainer
from plopkit.catalogue import METHODS
from plopkit.methods.base import Batch, Method
from plopkit.methods.baselines import FineTuning
from plopkit.model.segmenter import Segmenter
from plopkit.runs import saving
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment
from plopkit.runs.saving import Saver, trained
from plopkit.scenario import Scenario
from plopkit.settings import Optim, Settings
from plopkit.support.signals import Terminated, terminating
from plopkit.ticks import Tick
from plopkit.trainer import fit
from plopkit.training import Training

pytestmark = pytest.mark.usefixtures("no_pictures")
Nets = Callable[..., Segmenter]
FIRST, SECOND = Scenario.parse("emoji 15-5 overlap").steps


class WrongError(Exception):
    """Something fails in the middle of an iteration."""


class Drawing(Method):
    """Fine-tuning with random weights from three generators, as dropout has them."""

    name, title, source = "toy-drawing", "drawing", "a test"

    def first_step(self) -> Method:
        return self

    def prepare(self, context: Any) -> float:
        return random.random() + float(torch.rand(()))

    def losses(self, batch: Batch) -> dict[str, Any]:
        ce = FineTuning().losses(batch)["ce"]
        drawn = random.random() + np.random.random() + torch.rand(()) + (batch.prepared or 0.0)  # noqa: NPY002
        return {"ce": drawn * ce}


@pytest.fixture
def drawing() -> Iterator[str]:
    METHODS["toy-drawing"] = Drawing
    yield "toy-drawing"
    del METHODS["toy-drawing"]


def assert_same(first: Any, second: Any) -> None:
    """Two states, tensor by tensor."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first:
            assert_same(first[name], second[name])
    elif isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    else:
        assert first == second


def read(folder: Path) -> tuple[bytes, list[dict[str, Any]], dict[str, torch.Tensor]]:
    """The results, the ticks without times, and all tensors of a finished run."""
    from plopkit.runs.folder import RunFolder

    run = RunFolder(folder)
    tensors = {}
    for index in (0, 1):
        store = StepStore(run.checkpoints, index)
        tensors |= {f"{index} {name}": tensor for name, tensor in (store.weights() | store.state()).items()}
    ticks = run.ticks.drop(columns="seconds").fillna(-1.0)
    return run.results_file.read_bytes(), ticks.to_dict("records"), tensors


def assert_same_run(first: Settings, second: Settings) -> None:
    (results, ticks, tensors), (other_results, other_ticks, other_tensors) = read(first.folder()), read(second.folder())
    assert results == other_results
    assert ticks == other_ticks
    assert_same(tensors, other_tensors)


# Resuming


@pytest.mark.parametrize(
    ("method", "further"),
    [
        ("plop", {"compute__workers": 2}),
        ("mib", {"compute__micro_batch": 2}),
        ("ewc", {}),
        ("pi", {}),
        ("rw", {"hyper__every": 3}),
        ("toy-drawing", {"compute__workers": 2}),
    ],
)
def test_a_run_that_stops_after_every_few_iterations_is_the_same(
    method: str, further: dict[str, Any], tmp_path: Path, drawing: str
) -> None:
    straight, stopped = (small(tmp_path / name, method=method, **TWO_EPOCHS, **further) for name in "ab")
    places = ticks_until(Experiment.open(straight))
    trained_again = []
    for number in itertools.cycle((3, 1, 8, 5)):  # epochs have some ten batches
        torch.manual_seed(number)  # what other code draws in between changes nothing
        random.seed(number)
        np.random.seed(number)  # noqa: NPY002
        count = itertools.count(1)
        if not (found := ticks_until(Experiment.open(stopped), lambda _: next(count) == number)):  # noqa: B023
            break
        trained_again += found
    assert trained_again == places
    assert_same_run(straight, stopped)


def test_images_before_the_first_batch_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resume costs no more than an iteration."""
    settings = small(tmp_path, method="ft", **TWO_EPOCHS)
    ticks_until(Experiment.open(settings), lambda tick: tick.iteration == 5)
    experiment = Experiment.open(settings)
    source, indices = type(experiment.data.train), []
    original = source.read

    def read(self: Any, index: int) -> Any:
        indices.append(index)
        return original(self, index)

    monkeypatch.setattr(source, "read", read)
    assert ticks_until(experiment, lambda tick: True) == [(0, 0, 6)]
    assert len(indices) == settings.optim.batch


# What is saved


@pytest.fixture
def store(tmp_path: Path) -> StepStore:
    return StepStore(tmp_path, 1)


def begin(net: Segmenter, method: str, store: StepStore, accelerator: Accelerator, minutes: float = 1e4) -> Any:
    """A training of three batches an epoch, its saver and its ticks."""
    generator = torch.Generator().manual_seed(0)
    kind = METHODS[method]()
    batches = [
        (torch.randn(2, 3, 32, 32, generator=generator), torch.randint(0, 5, (2, 32, 32), generator=generator))
        for _ in range(3)
    ]
    training = Training(net, Optim(lr_later=0.1, epochs_later=2, batch=2), SECOND, kind, kind.regularizer(net, {}))
    saver = Saver(training, store, accelerator, minutes)
    saver.restore()
    return training, saver, trained(saver, fit(training, batches, kind, SECOND, accelerator), accelerator)


def copied(training: Training) -> dict[str, Any]:
    """The state as it is now."""
    import io

    file = io.BytesIO()
    torch.save(training.state(), file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("method", ["ft", "ewc", "rw"])
def test_an_error_within_an_iteration_leaves_the_state_before_it(
    method: str, store: StepStore, tiny_net: Nets, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forward pass has changed the norms' statistics by then."""
    training, _, ticks = begin(tiny_net(16, 5), method, store, accelerator)
    next(ticks), next(ticks)
    expected = copied(training)
    original = trainer.backward

    def fail(*args: Any) -> None:
        original(*args)
        raise WrongError

    monkeypatch.setattr(trainer, "backward", fail)
    with pytest.raises(WrongError):
        next(ticks)
    saved = store.load_epoch()
    assert saved is not None and (saved[0]["epoch"], saved[0]["batch"]) == (0, 2)
    live = training.net.state_dict()
    assert not all(torch.equal(live[name], tensor) for name, tensor in expected["net"].items())
    saved[0].pop("scaler")
    assert_same(saved[0], expected)
    assert [tick["iteration"] for tick in saved[1]] == [0, 1]


def test_an_error_while_the_state_changes_saves_nothing(
    store: StepStore, tiny_net: Nets, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A regularizer that has seen the gradients, and parameters that have not."""
    training, saver, ticks = begin(tiny_net(16, 5), "ewc", store, accelerator)
    next(ticks)
    saver.save()
    next(ticks)
    original = trainer.regularize

    def fail(*args: Any) -> None:
        original(*args)
        raise WrongError

    monkeypatch.setattr(trainer, "regularize", fail)
    with pytest.raises(WrongError):
        next(ticks)
    saved = store.load_epoch()
    assert saved is not None and (saved[0]["epoch"], saved[0]["batch"]) == (0, 1)
    with pytest.raises(ValueError, match="a part of the training's state only"):
        training.state()


def test_a_loss_that_is_not_finite_saves_nothing(
    store: StepStore, tiny_net: Nets, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, saver, ticks = begin(tiny_net(16, 5), "ft", store, accelerator)
    next(ticks)
    saver.save()
    next(ticks)
    monkeypatch.setattr(trainer, "regularize", lambda *_: {"penalty": torch.tensor(float("nan"))})
    with pytest.raises(FloatingPointError, match="the training that was saved last is kept"):
        next(ticks)
    saved = store.load_epoch()
    assert saved is not None and saved[0]["batch"] == 1


def test_a_state_that_cannot_be_saved_does_not_hide_the_error(
    store: StepStore,
    tiny_net: Nets,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def no_space(*_: object) -> None:
        raise OSError("the disk is full")

    _, _, ticks = begin(tiny_net(16, 5), "ft", store, accelerator)
    next(ticks)
    monkeypatch.setattr(StepStore, "save_epoch", no_space)
    with pytest.raises(WrongError):
        ticks.throw(WrongError())
    message = "the training's state was not saved (the disk is full); what was saved before is kept\n"
    assert message in capsys.readouterr().err


def test_a_state_counts_the_ticks_that_have_not_been_read(
    store: StepStore, tiny_net: Nets, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a device with a queue the state is an iteration ahead of the ticks."""

    class Stream:
        def record_event(self) -> Any:
            return type("Event", (), {"synchronize": lambda self: None})()

    straight = [tick.losses for tick in begin(tiny_net(16, 5), "ft", StepStore(store.folder / "b", 1), accelerator)[2]]
    monkeypatch.setattr("plopkit.ticks.QUEUEING", ("cpu",))
    monkeypatch.setattr(torch.accelerator, "current_stream", lambda device: Stream())
    net = tiny_net(16, 5)
    training, _, ticks = begin(net, "ft", store, accelerator)
    assert next(ticks).iteration == 0
    assert training.batch == 2
    ticks.close()
    saved = store.load_epoch()
    assert saved is not None and saved[0]["batch"] == 2
    assert [tick["iteration"] for tick in saved[1]] == [0, 1]
    rest = [tick.losses for tick in begin(tiny_net(16, 5), "ft", store, accelerator)[2]]
    assert [tick["losses"] for tick in saved[1]] + rest == straight


# When it is saved


class Clock:
    """`time.monotonic`, which moves on when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


def saved_at(
    ticks: Iterator[Tick], store: StepStore, clock: Clock, monkeypatch: pytest.MonkeyPatch, seconds: float, cost: float
) -> list[int]:
    """The iterations after which a training is saved, where each takes `seconds` and saving takes `cost`."""
    places: list[int] = []
    original = StepStore.save_epoch

    def save(self: StepStore, training: dict[str, Any], kept: Any) -> None:
        clock.now += cost
        places.append(kept[-1]["iteration"])
        original(self, training, kept)

    monkeypatch.setattr(StepStore, "save_epoch", save)
    original_count = Training.count

    def count(self: Training, *args: Any) -> None:
        clock.now += seconds
        original_count(self, *args)

    monkeypatch.setattr(Training, "count", count)
    list(ticks)
    return places


@pytest.mark.parametrize(
    ("minutes", "seconds", "cost", "expected"),
    [
        (10, 60, 0, [2, 5]),  # the ends of the epochs
        (10, 601, 1, [0, 1, 2, 3, 4, 5]),
        (10, 301, 1, [1, 2, 4, 5]),
        (10, 601, 13, [0, 2, 4]),  # 13 s are more than 2 % of 601 s
        (10, 60, 13, [2]),  # and of an epoch
        (10, 1, 0.9, [2, 5]),  # which is always saved where that is quick
        (0, 1, 13, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_the_interval(
    minutes: float,
    seconds: float,
    cost: float,
    expected: list[int],
    store: StepStore,
    tiny_net: Nets,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock()
    monkeypatch.setattr(saving, "time", clock)
    _, _, ticks = begin(tiny_net(16, 5), "ft", store, accelerator, minutes)
    assert saved_at(ticks, store, clock, monkeypatch, seconds, cost) == expected


def test_only_the_main_process_saves(store: StepStore, tiny_net: Nets, accelerator: Accelerator) -> None:
    _, saver, ticks = begin(tiny_net(16, 5), "ft", store, accelerator, 0)
    saver.main = False
    list(ticks)
    assert not store.folder.exists() or not list(store.folder.iterdir())


@pytest.fixture
def handled() -> Iterator[None]:
    """The usual handlers: what a shell starts in the background ignores SIGINT."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handled")
@pytest.mark.parametrize(("number", "error"), [(signal.SIGTERM, Terminated), (signal.SIGINT, KeyboardInterrupt)])
def test_a_signal_saves_after_the_iteration(
    number: int,
    error: type[BaseException],
    store: StepStore,
    tiny_net: Nets,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training, _, ticks = begin(tiny_net(16, 5), "ewc", store, accelerator)
    next(ticks)
    original = trainer.regularize

    def send(*args: Any) -> Any:
        signal.raise_signal(number)  # in the middle of what must not be divided
        return original(*args)

    monkeypatch.setattr(trainer, "regularize", send)
    with pytest.raises(error), terminating():
        next(ticks)
    saved = store.load_epoch()
    assert saved is not None and saved[0]["batch"] == 2
    saved[0].pop("scaler")
    assert_same(saved[0], copied(training))


def test_a_signal_of_the_last_iteration_is_not_lost(
    store: StepStore, tiny_net: Nets, accelerator: Accelerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, _, ticks = begin(tiny_net(16, 5), "ft", store, accelerator)
    for _ in range(5):
        next(ticks)
    original = trainer.regularize
    monkeypatch.setattr(trainer, "regularize", lambda *args: (signal.raise_signal(signal.SIGTERM), original(*args))[1])
    with pytest.raises(Terminated), terminating():
        list(ticks)
    saved = store.load_epoch()
    assert saved is not None and (saved[0]["epoch"], saved[0]["batch"]) == (2, 0)


def test_experiment_save_keeps_the_training_between_two_ticks(tmp_path: Path) -> None:
    settings = small(tmp_path, method="ft", **TWO_EPOCHS)
    experiment = Experiment.open(settings)
    experiment.save()  # nothing is trained yet
    with contextlib.closing(experiment.ticks()) as ticks:
        for tick in ticks:
            if tick.iteration == 2:
                break
        experiment.save()
        kept = tmp_path / "kept"
        shutil.copytree(tmp_path / ".step0", kept / ".step0")
    (shared,) = (kept / ".step0").iterdir()
    saved = StepStore(shared, 0).load_epoch()
    assert saved is not None and saved[0]["batch"] == 3
    assert [tick["iteration"] for tick in saved[1]] == [0, 1, 2]
