"""The training loop: its ticks, the learning rate, resuming, losses that are not finite; and evaluation."""

import copy
import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from batches import prepared_by, terms_of
from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from plopkit.datasets.emoji import EmojiScenes
from plopkit.datasets.steps import Selection, StepDataset, eval_loader, train_loader
from plopkit.datasets.transforms import eval_transform, train_transform
from plopkit.methods import PLOP, Batch, FineTuning, Method, StepContext
from plopkit.metrics import confusion
from plopkit.model.segmenter import Segmenter
from plopkit.optimizer import poly
from plopkit.scenario import IGNORE, Scenario, Step
from plopkit.settings import Optim
from plopkit.trainer import Tick, Training, batches, evaluate, fit

Nets = Callable[..., Segmenter]
OPTIM = Optim(lr=0.02, lr_later=0.01, epochs=2, epochs_later=3, batch=2)
FIRST, SECOND = Scenario.parse("emoji 15-5 overlap").steps


@pytest.fixture(scope="module")
def scenes() -> EmojiScenes:
    return EmojiScenes("train", 7, size=64)


@pytest.fixture
def loader(scenes: EmojiScenes) -> DataLoader:
    """Three batches of two images."""
    chosen = StepDataset(scenes, Selection.of(np.arange(7), SECOND.lookup("seen")), train_transform(64, (0.5, 1.0)))
    return train_loader(chosen, 2, seed=1)


class Broken(Method):
    """A loss term that is not finite after some calls."""

    name = "broken"
    title = "broken"
    source = "a test"
    at: int = 4
    value: float = Field(math.nan, allow_inf_nan=True)

    def prepare(self, context: StepContext) -> list[int]:
        return []

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        batch.prepared.append(1)
        ce = FineTuning().losses(batch)["ce"]
        return {"ce": ce, "odd": ce * (self.value if len(batch.prepared) > self.at else 1.0)}


class NewClassifier(Method):
    """Trains the newest classifier only, its weight at half the rate."""

    name = "new-classifier"
    title = "new classifier"
    source = "a test"

    def parameter_groups(self, net: Segmenter, step: Step) -> list[dict[str, Any]]:
        newest = net.classifier[-1]
        return [{"params": [newest.weight], "lr_scale": 0.5}, {"params": [newest.bias]}]

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        return FineTuning().losses(batch)


# fit


def test_fit_yields_a_tick_each_iteration(tiny_net: Nets, loader: DataLoader, accelerator: Accelerator) -> None:
    training = Training(tiny_net(21).eval(), OPTIM, SECOND)
    ticks = []
    for tick in fit(training, loader, FineTuning(), SECOND, accelerator):
        ticks.append(tick)
        assert training.epoch == (tick.iteration + 1) // 3
        assert training.optimizer.param_groups[0]["lr"] == tick.lr
    assert [(t.step, t.epoch, t.epochs, t.iteration, t.n_iterations) for t in ticks] == [
        (1, i // 3, 3, i, 9) for i in range(9)
    ]
    assert [t.epoch_done for t in ticks] == [False, False, True] * 3
    assert [t.lr for t in ticks] == [poly(0.01, i, 9) for i in range(9)]
    assert all(list(t.losses) == ["ce"] and t.total == t.losses["ce"] and t.seconds > 0 for t in ticks)
    assert training.net.training
    first, last = (sum(t.total for t in ticks if t.epoch == epoch) for epoch in (0, 2))
    assert last < first


@pytest.mark.parametrize(("least", "epochs"), [(0, 3), (9, 3), (10, 4), (12, 4), (13, 5)])
def test_a_later_step_is_trained_for_a_least_number_of_iterations(
    least: int, epochs: int, tiny_net: Nets, loader: DataLoader, accelerator: Accelerator
) -> None:
    optim = OPTIM.model_copy(update={"min_iterations": least})
    ticks = list(fit(Training(tiny_net(21), optim, SECOND), loader, FineTuning(), SECOND, accelerator))
    assert [(t.epoch, t.epochs, t.n_iterations) for t in ticks] == [
        (i // 3, epochs, 3 * epochs) for i in range(3 * epochs)
    ]
    assert [t.lr for t in ticks] == [poly(0.01, i, 3 * epochs) for i in range(3 * epochs)]
    assert Training(tiny_net(16), optim, FIRST).schedule.epochs_of(len(loader)) == 2


def test_an_iteration_is_one_step_of_the_optimiser(
    tiny_net: Nets, loader: DataLoader, accelerator: Accelerator
) -> None:
    """The loop adds up the terms, and a tick has the losses before the step."""
    net = tiny_net(21).train()
    image, target = next(batches(loader, 0, accelerator))
    losses = terms_of(Broken(at=99), net(image), None, target, SECOND, [])
    sum(losses.values()).backward()
    optimizer = torch.optim.SGD(net.parameters(), 0.01, momentum=0.9, nesterov=True, weight_decay=1e-4)
    optimizer.step()
    training = Training(tiny_net(21), OPTIM, SECOND)
    tick = next(iter(fit(training, loader, Broken(at=99), SECOND, accelerator, prepared=[])))
    assert tick.losses == {name: pytest.approx(term.item()) for name, term in losses.items()}
    assert tick.total == pytest.approx(2 * tick.losses["ce"])
    for (name, expected), found in zip(net.state_dict().items(), training.net.state_dict().values(), strict=True):
        torch.testing.assert_close(found, expected, msg=name)


def test_the_power_is_that_of_the_settings(tiny_net: Nets, loader: DataLoader, accelerator: Accelerator) -> None:
    training = Training(tiny_net(21), OPTIM.model_copy(update={"power": 2.0, "epochs": 1}), FIRST)
    rates = [tick.lr for tick in fit(training, loader, FineTuning(), FIRST, accelerator)]
    assert rates == [0.02, pytest.approx(0.02 * 4 / 9), pytest.approx(0.02 / 9)]


def test_every_epoch_is_shuffled_differently(loader: DataLoader, accelerator: Accelerator) -> None:
    first, repeated, second = ([image for image, _ in batches(loader, epoch, accelerator)] for epoch in (0, 0, 1))
    assert all(map(torch.equal, first, repeated))
    assert not any(map(torch.equal, first, second))
    assert all(image.dtype == torch.float32 for image in first)
    assert all(target.dtype == torch.int64 for _, target in batches(loader, 0, accelerator))
    plain = DataLoader(TensorDataset(torch.zeros(2, 3), torch.ones(2)))
    assert len(list(batches(plain, 3, accelerator))) == 2  # without an EpochSampler


@pytest.fixture
def teacher(tiny_net: Nets) -> Segmenter:
    """Different from the net: a net distilled from itself has nothing to learn."""
    net = tiny_net(16).frozen()
    for index, parameter in enumerate(net.parameters()):
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
    return net


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_training_resumed_from_a_saved_state_gives_the_same_numbers(
    name: str, tiny_net: Nets, teacher: Segmenter, loader: DataLoader, accelerator: Accelerator
) -> None:
    method = PLOP(pod=0.001)
    prepared = prepared_by(method, teacher, batches(loader, 0, accelerator), SECOND)

    def begin() -> tuple[Training, Iterator[Tick]]:
        training = Training(tiny_net(16, 5), OPTIM.model_copy(update={"name": name, "lr_later": 1e-3}), SECOND)
        return training, iter(fit(training, loader, method, SECOND, accelerator, teacher, prepared))

    uninterrupted, ticks = begin()
    whole = list(ticks)
    interrupted, ticks = begin()
    first = [next(ticks) for _ in range(3)]
    assert first[-1].epoch_done
    file = io.BytesIO()
    torch.save(interrupted.state(), file)
    next(ticks)  # lost: it is after the last finished epoch
    file.seek(0)
    resumed, ticks = begin()
    resumed.restore(torch.load(file, weights_only=True))
    rest = list(ticks)
    assert [tick.iteration for tick in rest] == [3, 4, 5, 6, 7, 8]
    assert [(tick.losses, tick.lr) for tick in first + rest] == [(tick.losses, tick.lr) for tick in whole]
    assert list(whole[0].losses) == ["ce", "pod"]
    for key, value in uninterrupted.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[key]), key
    assert list(fit(resumed, loader, method, SECOND, accelerator, teacher, prepared)) == []


def test_the_teacher_does_not_change(
    tiny_net: Nets, teacher: Segmenter, loader: DataLoader, accelerator: Accelerator
) -> None:
    before = copy.deepcopy(teacher.state_dict())
    training = Training(tiny_net(16, 5), OPTIM, SECOND)
    method = PLOP(pod=0.001)
    prepared = prepared_by(method, teacher, batches(loader, 0, accelerator), SECOND)
    for _ in zip(range(2), fit(training, loader, method, SECOND, accelerator, teacher, prepared), strict=False):
        pass
    assert not teacher.training
    assert all(torch.equal(before[key], value) for key, value in teacher.state_dict().items())


def test_parameters_in_no_group_are_not_trained(tiny_net: Nets, loader: DataLoader, accelerator: Accelerator) -> None:
    training = Training(tiny_net(16, 5), OPTIM, SECOND, NewClassifier())
    before = copy.deepcopy(training.net.state_dict())
    ticks = list(fit(training, loader, NewClassifier(), SECOND, accelerator))
    changed = {name for name, p in training.net.named_parameters() if not torch.equal(p, before[name])}
    assert changed == {"classifier.1.weight", "classifier.1.bias"}
    assert ticks[0].lr == OPTIM.lr_later  # the rate before lr_scale
    rates = [group["lr"] for group in training.optimizer.param_groups]
    assert rates == [pytest.approx(0.5 * ticks[-1].lr), pytest.approx(ticks[-1].lr)]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_is_refused(
    value: float, tiny_net: Nets, loader: DataLoader, accelerator: Accelerator
) -> None:
    training = Training(tiny_net(21), OPTIM, SECOND)
    ticks = fit(training, loader, Broken(at=4, value=value), SECOND, accelerator, prepared=[])
    for _ in range(4):
        next(ticks)
    before = copy.deepcopy({key: parameter.data for key, parameter in training.net.named_parameters()})
    message = (
        rf"the loss term 'odd' is {value} in step 1, epoch 1, iteration 4; lower optim.lr, or use compute.precision"
    )
    with pytest.raises(FloatingPointError, match=message):
        next(ticks)
    assert all(torch.equal(before[key], parameter) for key, parameter in training.net.named_parameters())
    assert training.epoch == 1


# evaluate


@pytest.mark.parametrize("training", [True, False])
def test_evaluate_counts_every_pixel_and_restores_the_mode(training: bool, tiny_net: Nets, scenes: EmojiScenes) -> None:
    net = tiny_net(21)
    chosen = StepDataset(scenes, Selection.of(np.arange(7), SECOND.lookup("seen")), eval_transform(64))
    images, targets = (torch.stack(parts) for parts in zip(*chosen, strict=True))
    net.train(training)
    before = copy.deepcopy(net.state_dict())
    counts = evaluate(net, eval_loader(chosen, 3), 21)
    assert net.training == training
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert (counts.shape, counts.dtype) == ((21, 21), torch.int64)
    with torch.no_grad():
        predicted = net.eval()(images).logits.argmax(1)
    expected = torch.zeros(21, 21, dtype=torch.int64)
    for true, channel in zip(targets.flatten().tolist(), predicted.flatten().tolist(), strict=True):
        if true != IGNORE:
            expected[true, channel] += 1
    assert torch.equal(counts, expected)
    assert torch.equal(counts, confusion(predicted, targets, 21))
    assert len(predicted.unique()) > 2


def test_evaluate_accepts_any_iterable_of_batches(tiny_net: Nets) -> None:
    net = tiny_net(3)
    batch = torch.zeros(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.int64)
    assert evaluate(net, iter([batch, batch]), 3).sum() == 2 * 64 * 64
    assert evaluate(net, [], 3).sum() == 0


def test_evaluate_counts_what_a_method_predicts(tiny_net: Nets) -> None:
    net = tiny_net(3)
    image, target = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)), torch.ones(2, 64, 64).long()

    def never_background(logits: Tensor) -> Tensor:
        return logits[:, 1:].argmax(1) + 1

    counts = evaluate(net, [(image, target)], 3, never_background)
    default = evaluate(net, [(image, target)], 3)
    assert counts[1, 0] == 0 < default[1, 0]
    assert counts[1].sum() == default[1].sum() == target.numel()
    with torch.no_grad():
        predicted = never_background(net.eval()(image).logits)
    assert torch.equal(counts, confusion(predicted, target, 3))
