"""The loop: ticks, the learning rate, going on from a saved state, refusing NaN; and the count at evaluation."""

import copy
import io
import math
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from batches import prepared_by, terms_of
from pydantic import Field
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from plopkit.backward import Place, check_finite
from plopkit.compute import check_shares, make_accelerator, num_micro_batches
from plopkit.datasets.emoji import EmojiScenes
from plopkit.datasets.steps import Selection, StepDataset, eval_loader, train_loader
from plopkit.datasets.transforms import eval_transform, train_transform
from plopkit.methods import METHODS, PLOP, Batch, FineTuning, Joint, Method, StepContext
from plopkit.metrics import confusion
from plopkit.model.segmenter import Segmenter
from plopkit.optimizer import make_optimizer, poly
from plopkit.presets import configure
from plopkit.scenario import Scenario, Step
from plopkit.settings import Compute, Optim, Settings
from plopkit.trainer import Tick, Training, batches, evaluate, fit

Nets = Callable[..., Segmenter]
OPTIM = Optim(lr=0.02, lr_later=0.01, epochs=2, epochs_later=3, batch=2)
FIRST, SECOND = Scenario.parse("emoji 15-5 overlap").steps


@pytest.fixture
def accelerator() -> Iterator[Accelerator]:
    """On the CPU, in float32, whatever a test before has chosen: Accelerate keeps its state."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield Accelerator(cpu=True)
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture(scope="module")
def scenes() -> EmojiScenes:
    return EmojiScenes("train", 7, size=64)


@pytest.fixture
def loader(scenes: EmojiScenes) -> DataLoader:
    """Three batches of two images."""
    chosen = StepDataset(scenes, Selection.of(np.arange(7), SECOND.lookup("seen")), train_transform(64, (0.5, 1.0)))
    return train_loader(chosen, 2, seed=1)


class Broken(Method):
    """A term that is not finite from some call on."""

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


# Optimiser and schedule


def test_poly_falls_from_the_rate_to_almost_0() -> None:
    rates = [poly(0.1, iteration, 10) for iteration in range(10)]
    assert rates[0] == 0.1
    assert rates[9] == pytest.approx(0.1 * 0.1**0.9)
    assert rates[4] == pytest.approx(0.1 * 0.6**0.9)
    assert rates == sorted(rates, reverse=True)
    assert {poly(0.1, iteration, 10, power=0) for iteration in range(10)} == {0.1}
    assert poly(1, 5, 10, power=2) == 0.25


def test_sgd_is_as_published(tiny_net: Nets) -> None:
    net = tiny_net(16)
    optimizer = make_optimizer(net, Optim(), 0.01)
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in net.parameters()}
    assert (group["lr"], group["momentum"], group["nesterov"], group["weight_decay"]) == (0.01, 0.9, True, 1e-4)
    assert group["dampening"] == 0
    still = make_optimizer(net, Optim(momentum=0), 0.01)
    assert still.param_groups[0]["nesterov"] is False


def test_adamw_takes_its_rate_and_decay(tiny_net: Nets) -> None:
    net = tiny_net(16)
    optimizer = make_optimizer(net, Optim(name="adamw", weight_decay=0.3), 0.002)
    assert isinstance(optimizer, torch.optim.AdamW)
    (group,) = optimizer.param_groups
    assert (group["lr"], group["weight_decay"]) == (0.002, 0.3)
    assert len(group["params"]) == len(list(net.parameters()))


@pytest.mark.parametrize(
    ("step", "method", "expected"),
    [(FIRST, None, (2, 0.02)), (SECOND, None, (3, 0.01)), (SECOND, PLOP(), (3, 0.01)), (SECOND, Joint(), (2, 0.02))],
)
def test_later_steps_have_their_own_rate_and_epochs(
    step: Step, method: Method | None, expected: tuple, tiny_net: Nets
) -> None:
    training = Training(tiny_net(16), OPTIM, step, method)
    assert (training.epochs, training.lr) == expected
    assert training.optimizer.param_groups[0]["lr"] == expected[1]


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
    first, last = (sum(t.total for t in ticks if t.epoch == epoch) for epoch in (0, 2))  # one batch alone may go up
    assert last < first


def test_one_iteration_is_one_step_of_the_optimiser(
    tiny_net: Nets, loader: DataLoader, accelerator: Accelerator
) -> None:
    """Against the same by hand: the loop adds up the terms, and hands out the loss before the step."""
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


def test_power_and_total_are_those_of_the_settings(
    tiny_net: Nets, loader: DataLoader, accelerator: Accelerator
) -> None:
    training = Training(tiny_net(21), OPTIM.model_copy(update={"power": 2.0, "epochs": 1}), FIRST)
    rates = [tick.lr for tick in fit(training, loader, FineTuning(), FIRST, accelerator)]
    assert rates == [0.02, pytest.approx(0.02 * 4 / 9), pytest.approx(0.02 / 9)]


def test_every_epoch_shuffles_anew(loader: DataLoader, accelerator: Accelerator) -> None:
    first, again, second = ([image for image, _ in batches(loader, epoch, accelerator)] for epoch in (0, 0, 1))
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, second))
    plain = DataLoader(TensorDataset(torch.zeros(2, 3), torch.ones(2)))
    assert len(list(batches(plain, 3, accelerator))) == 2  # a loader without epochs serves too


@pytest.fixture
def teacher(tiny_net: Nets) -> Segmenter:
    """Not the net's own beginning: a net distilled from itself would have nothing to learn at first."""
    net = tiny_net(16).frozen()
    for index, parameter in enumerate(net.parameters()):
        parameter.data += 0.02 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
    return net


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_training_from_a_saved_state_equals_straight_through(
    name: str, tiny_net: Nets, teacher: Segmenter, loader: DataLoader, accelerator: Accelerator
) -> None:
    method = PLOP(pod=0.001)
    prepared = prepared_by(method, teacher, batches(loader, 0, accelerator), SECOND)

    def begun() -> tuple[Training, Iterator[Tick]]:
        training = Training(tiny_net(16, 5), OPTIM.model_copy(update={"name": name, "lr_later": 1e-3}), SECOND)
        return training, iter(fit(training, loader, method, SECOND, accelerator, teacher, prepared))

    straight, ticks = begun()
    whole = list(ticks)
    stopped, ticks = begun()
    first = [next(ticks) for _ in range(3)]
    assert first[-1].epoch_done
    file = io.BytesIO()
    torch.save(stopped.state(), file)
    next(ticks)  # what follows the last finished epoch is lost
    file.seek(0)
    resumed, ticks = begun()
    resumed.restore(torch.load(file, weights_only=True))
    rest = list(ticks)
    assert [tick.iteration for tick in rest] == [3, 4, 5, 6, 7, 8]
    assert [(tick.losses, tick.lr) for tick in first + rest] == [(tick.losses, tick.lr) for tick in whole]
    assert list(whole[0].losses) == ["ce", "pod"]
    for key, value in straight.net.state_dict().items():
        assert torch.equal(value, resumed.net.state_dict()[key]), key
    assert list(fit(resumed, loader, method, SECOND, accelerator, teacher, prepared)) == []


def test_the_teacher_is_left_alone(
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


def test_losses_become_numbers_by_name() -> None:
    losses = {"ce": torch.tensor(1.5, requires_grad=True), "pod": torch.tensor(2, dtype=torch.float64)}
    assert check_finite(losses, Place(0, 0, 0)) == {"ce": 1.5, "pod": 2.0}


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
    for asked, found in zip(targets.flatten().tolist(), predicted.flatten().tolist(), strict=True):
        if asked != 255:
            expected[asked, found] += 1
    assert torch.equal(counts, expected)
    assert torch.equal(counts, confusion(predicted, targets, 21))
    assert len(predicted.unique()) > 2


def test_evaluate_takes_any_batches(tiny_net: Nets) -> None:
    net = tiny_net(3)
    batch = torch.zeros(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.int64)
    assert evaluate(net, iter([batch, batch]), 3).sum() == 2 * 64 * 64
    assert evaluate(net, [], 3).sum() == 0


# Parts of a batch


@pytest.mark.parametrize("method", ["plop", "mib", "ft"])
@pytest.mark.parametrize("part", [1, 2, 3, 4])
def test_parts_of_a_batch_add_up_to_it(
    tiny_net: Nets, scenes: EmojiScenes, accelerator: Accelerator, method: str, part: int
) -> None:
    """Without batch norm, whose statistics are those of a part, the numbers are those of the whole batch."""

    def trained(micro_batch: int | None) -> tuple[list[Tick], torch.Tensor, torch.Tensor]:
        teacher = _without_norms(tiny_net(16)).frozen()
        net = teacher.grown(5).requires_grad_(True)
        generator = torch.Generator().manual_seed(0)
        for parameter in net.parameters():  # at the teacher's place the gradient of POD, a norm, has no direction
            parameter.data += (
                0.05 * parameter.data.std().nan_to_num() * torch.randn(parameter.shape, generator=generator)
            )
        chosen = StepDataset(scenes, Selection.of(np.arange(7), SECOND.lookup("seen")), train_transform(64, (0.5, 1.0)))
        loader = train_loader(chosen, 3, seed=1)
        training = Training(net, Optim(name="sgd", lr_later=1e-3, epochs_later=1, batch=3), SECOND)
        kind = METHODS[method]()
        start = torch.cat([p.detach().flatten() for p in net.parameters()])
        prepared = prepared_by(kind, teacher, list(batches(loader, 0, accelerator)), SECOND)
        ticks = list(fit(training, loader, kind, SECOND, accelerator, teacher, prepared, micro_batch))
        return ticks, start, torch.cat([p.detach().flatten() for p in net.parameters()])

    (whole, start, end), (parts, _, other) = trained(None), trained(part)
    for one, two in zip(whole, parts, strict=True):
        assert two.losses == pytest.approx(one.losses, rel=1e-4)
    assert (other - end).norm() < 1e-2 * (end - start).norm()


def _without_norms(net: Segmenter) -> Segmenter:
    for module in list(net.modules()):
        for name, child in module.named_children():
            if isinstance(child, torch.nn.BatchNorm2d):
                setattr(module, name, torch.nn.Identity())
    return net


@pytest.mark.parametrize(("batch", "micro_batch", "sizes"), [(24, 23, (12, 12)), (7, 3, (3, 2, 2)), (4, None, (4,))])
def test_parts_are_as_even_as_possible(batch: int, micro_batch: int | None, sizes: tuple[int, ...]) -> None:
    parts = torch.arange(batch).tensor_split(num_micro_batches(batch, micro_batch))
    assert tuple(map(len, parts)) == sizes


@pytest.mark.parametrize("micro_batch", [1, 2])
def test_parts_of_one_image_are_refused(micro_batch: int) -> None:
    settings = configure(overrides={"optim.batch": 3, "compute.micro_batch": micro_batch, "compute.cpu": True})
    with pytest.raises(ValueError, match=rf"micro_batch {micro_batch} cuts the batch of 3 into parts of one image"):
        make_accelerator(settings)


@pytest.mark.parametrize(
    ("processes", "micro_batch", "message"),
    [
        (
            25,
            None,
            r"optim\.batch 24 counts the images of all processes together, and there are 25 processes; raise it to 25",
        ),
        (16, 1, r"micro_batch 1 cuts a batch of 2 into 2 parts, and some of the 16 processes .* have 1; choose"),
    ],
)
def test_a_batch_that_cannot_be_shared_is_refused(processes: int, micro_batch: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_shares(24, processes, micro_batch)


def test_a_batch_of_24_goes_on_any_number_of_processes_up_to_24() -> None:
    for processes in range(1, 25):
        check_shares(24, processes, None)
        check_shares(24, processes, 2)


def test_a_second_run_leaves_the_state_of_the_first(accelerator):
    """One may train in another thread of the kernel: Accelerate's state, which all share, must stay under it."""
    first = make_accelerator(Settings(compute=Compute(cpu=True), optim=OPTIM))
    state = dict(first.state.__dict__)
    second = make_accelerator(Settings(compute=Compute(cpu=True), optim=OPTIM))
    assert first.state.__dict__ == state and second.device == first.device
    other = make_accelerator(Settings(compute=Compute(cpu=True, precision="bf16"), optim=OPTIM))
    assert other.mixed_precision == "bf16"
    assert make_accelerator(Settings(compute=Compute(cpu=True), optim=OPTIM)).mixed_precision == "no"
