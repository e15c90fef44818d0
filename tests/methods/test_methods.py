"""What every method keeps to, then each one's own arithmetic: by hand, against released numbers, by identities."""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from batches import prepared_by, terms_of
from drawing import draw
from pydantic import ValidationError
from torch import Tensor

from plopkit.losses import cross_entropy, unbiased_cross_entropy
from plopkit.methods import ILT, METHODS, PLOP, FineTuning, Joint, LwF, LwFMC, Method, MiB
from plopkit.model.segmenter import Output, Segmenter
from plopkit.pod import fold_new_into_background, pod_distance
from plopkit.pseudo import Thresholds, median_thresholds, released_thresholds
from plopkit.scenario import Step
from plopkit.settings import Optim

Golden = Callable[[str], dict[str, Tensor]]
every_method = pytest.mark.parametrize("kind", METHODS.values(), ids=METHODS)
N_OLD = 6


def close(found: Tensor, expected: Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found.detach(), expected.detach(), rtol=1e-5, atol=atol)


def later_step(n_old: int, n_new: int) -> Step:
    labels = tuple(range(n_old + n_new))
    return Step(1, "overlap", labels[n_old:], labels[:n_old], ())


class Case(NamedTuple):
    """A net that has begun to differ from its teacher, and a batch with background, new channels and 255."""

    teacher: Segmenter
    net: Segmenter
    image: Tensor
    target: Tensor
    step: Step

    def outputs(self) -> tuple[Output, Output]:
        """The net's and the teacher's, as the loop makes them."""
        with torch.no_grad():
            old = self.teacher(self.image)
        return self.net(self.image), old


@pytest.fixture
def case(tiny_net: Callable[..., Segmenter]) -> Callable[..., Case]:
    def make(n_new: int = 2, method: Method | None = None, moved: float = 0.02) -> Case:
        teacher = tiny_net(N_OLD).frozen()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(n_new)
            net = (method or MiB()).begin_step(teacher, later_step(N_OLD, n_new)).requires_grad_(True)
        for index, parameter in enumerate(net.parameters()):
            parameter.data += moved * draw(index, *parameter.shape)
        target = torch.zeros(2, 64, 64, dtype=torch.int64)
        target[0, 10:40, 10:40] = N_OLD
        target[1, :20] = N_OLD + n_new - 1
        target[:, 40:44] = 255
        return Case(teacher, net, draw(99, 2, 3, 64, 64), target, later_step(N_OLD, n_new))

    return make


# What every method keeps to


def test_methods_stand_under_their_names() -> None:
    assert {"ft", "joint", "mib", "plop"} <= set(METHODS)
    for name, kind in METHODS.items():
        assert kind.name == name
        assert kind.title and kind.source and kind.__doc__
        assert not kind.__abstractmethods__
    assert len({kind.title for kind in METHODS.values()}) == len(METHODS)
    with pytest.raises(TypeError, match="abstract"):
        Method()


@every_method
def test_a_method_is_a_frozen_value(kind: type[Method]) -> None:
    method = kind()
    assert method == kind()
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        kind(learning_rate=1)
    for name in kind.model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(method, name, getattr(method, name))


@every_method
def test_hyper_parameters_are_bounded_and_described(kind: type[Method]) -> None:
    schema = kind.model_json_schema().get("properties", {})
    assert set(schema) == set(kind.model_fields)
    for name, told in schema.items():
        assert told.get("description"), name
        wrong = [WRONG[told["type"]](told), None]
        if told["type"] == "array":
            wrong += [[WRONG[told["items"]["type"]](told["items"])], []]
        for value in wrong:
            with pytest.raises(ValidationError):
                kind(**{name: value})


def below(told: dict) -> float:
    """Less than the bound, which every number must have."""
    return told["exclusiveMinimum"] if "exclusiveMinimum" in told else told["minimum"] - 0.5


WRONG = {
    "number": below,
    "integer": below,
    "boolean": lambda told: "perhaps",
    "string": lambda told: "another of " + ", ".join(told["enum"]),
    "array": lambda told: 3,
}


@pytest.mark.parametrize("n_new", [1, 5])
@every_method
def test_losses_are_finite_scalars_that_teach_the_net_alone(kind: type[Method], n_new: int, case: Callable) -> None:
    method = kind()
    teacher, net, image, target, step = made = case(n_new, method)
    taught = method.teacher(teacher, step) is not None
    prepared = prepared_by(method, teacher if taught else None, [(image, target)], step)
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    out, old = made.outputs()
    given = target.clone()
    losses = terms_of(method, out, old if taught else None, target, step, prepared)
    assert losses and all(isinstance(name, str) and name for name in losses)
    for term in losses.values():
        assert term.shape == () and term.dtype == torch.float32
        assert term.isfinite() and term > 0
    torch.stack(list(losses.values())).sum().backward()
    gradients = {name: parameter.grad for name, parameter in net.named_parameters()}
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients.values())
    for name in ("encoder.net.conv_stem.weight", "decoder.reduce.weight", "classifier.1.weight", "classifier.1.bias"):
        assert gradients[name].abs().max() > 0
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in teacher.state_dict().items())
    assert torch.equal(target, given)
    again = terms_of(method, *made.outputs(), target, step, prepared)
    assert list(again) == list(losses) and all(map(torch.equal, again.values(), losses.values()))


@every_method
def test_a_batch_of_ignored_pixels_is_no_accident(kind: type[Method], case: Callable) -> None:
    method = kind()
    made = case(1, method)
    teacher, net, image, target, step = made
    target[:] = 255
    prepared = prepared_by(method, teacher, [(image, target)], step)
    losses = terms_of(method, *made.outputs(), target, step, prepared)
    assert all(term.isfinite() for term in losses.values())
    assert next(iter(losses.values())) == 0  # the cross-entropy
    torch.stack(list(losses.values())).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())


# Fine-tuning and joint training


def test_fine_tuning_is_cross_entropy(case: Callable) -> None:
    made = case()
    out, _ = made.outputs()
    expected = F.cross_entropy(out.logits, made.target, ignore_index=255, reduction="sum") / made.target.numel()
    for method in (FineTuning(), Joint()):
        losses = terms_of(method, out, None, made.target, made.step, None)
        assert list(losses) == ["ce"]
        close(losses["ce"], expected)
    assert FineTuning().teacher(made.teacher, made.step) is None
    presence = np.eye(256, dtype=bool)[:9]
    assert FineTuning().images(made.step, presence, {}).indices.tolist() == [6, 7]
    assert Joint().images(made.step, presence, {}).indices.tolist() == [1, 2, 3, 4, 5, 6, 7]
    optim = Optim(epochs=2, epochs_later=3, lr=0.5, lr_later=0.25)
    assert (FineTuning().schedule(optim, made.step), Joint().schedule(optim, made.step)) == ((3, 0.25), (2, 0.5))


# LwF, LwF-MC, ILT


def released_case(name: str, golden: Golden) -> tuple[dict[str, Tensor], Step]:
    numbers = {key.split("/")[1]: value for key, value in golden("losses").items() if key.startswith(f"{name}/")}
    n_old, n = numbers["logits_old"].shape[1], numbers["logits"].shape[1]
    return numbers, later_step(n_old, n - n_old)


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1"])
def test_lwf_gives_the_released_numbers(name: str, golden: Golden) -> None:
    numbers, step = released_case(name, golden)
    logits, old = numbers["logits"], numbers["logits_old"]
    found = terms_of(LwF(), Output(logits, logits, ()), Output(old, old, ()), numbers["labels"], step, None)
    assert list(found) == ["ce", "kd"]
    close(found["ce"], numbers["cross_entropy"].mean())
    close(found["kd"], 100 * numbers["distillation_mean"])


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1"])
def test_lwf_mc_gives_the_released_numbers(name: str, golden: Golden) -> None:
    numbers, step = released_case(name, golden)
    logits, old = numbers["logits"], numbers["logits_old"]
    found = terms_of(LwFMC(), Output(logits, logits, ()), Output(old, old, ()), numbers["labels"], step, None)
    assert list(found) == ["bce", "kd"]
    close(found["bce"], numbers["bce_ignore"].mean())
    p, q = logits[:, : old.shape[1]].double().sigmoid(), old.double().sigmoid()
    loss = -(q * p.log() + (1 - q) * (1 - p).log())  # the golden `icarl` is another variant, which leaves the BCE out
    close(found["kd"], (10 * old.shape[1] * loss.mean()).float(), atol=1e-2)
    first = terms_of(LwFMC(), Output(logits, logits, ()), None, numbers["labels"], step, None)
    assert list(first) == ["bce"] and first["bce"] == found["bce"]


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1"])
def test_ilt_gives_the_released_numbers(name: str, golden: Golden, case: Callable) -> None:
    """The error is between the maps behind the encoder's last activation: those before the head's output."""
    numbers, step = released_case(name, golden)
    logits, old = numbers["logits"], numbers["logits_old"]
    maps, old_maps = draw(1, 2, 3, 4, 4), draw(2, 2, 3, 4, 4)
    active = [F.leaky_relu(m, 0.01) for m in (maps, old_maps)]
    outputs = [Output(one, one, (), m, draw(3, 2, 5)) for one, m in zip((logits, old), active, strict=True)]
    found = terms_of(ILT(), *outputs, numbers["labels"], step)
    assert list(found) == ["ce", "kd", "mse"]
    close(found["ce"], numbers["cross_entropy"].mean())
    close(found["kd"], 100 * numbers["distillation_mean"])
    new_active, old_active = (torch.where(m > 0, m, 0.01 * m) for m in (maps, old_maps))
    close(found["mse"], 100 * ((new_active - old_active) ** 2).sum() / maps.numel())
    out, _ = case().outputs()
    assert out.encoded is out.stages[-1]  # a timm encoder's map has no activation behind it


# MiB


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1"])
def test_mib_gives_the_released_numbers(name: str, golden: Golden) -> None:
    numbers = {key.split("/")[1]: value for key, value in golden("losses").items() if key.startswith(f"{name}/")}
    logits, old = numbers["logits"], numbers["logits_old"]
    step = later_step(old.shape[1], logits.shape[1] - old.shape[1])
    found = terms_of(MiB(kd=10), Output(logits, logits, ()), Output(old, old, ()), numbers["labels"], step, None)
    assert list(found) == ["ce", "kd"]
    close(found["ce"], numbers["unbiased_cross_entropy"].mean())
    close(found["kd"], 10 * numbers["unbiased_distillation"].mean())


@pytest.mark.parametrize("n_new", [1, 5])
def test_mib_begins_with_nothing_to_distil(n_new: int, case: Callable) -> None:
    """A net just grown shares out the teacher's background: what is left is the teacher's entropy, with gradient 0."""
    made = case(n_new, moved=0)
    out, old = made.outputs()
    out.logits.retain_grad()
    losses = terms_of(MiB(kd=3), out, old, made.target, made.step, None)
    p = old.logits.softmax(1)
    close(losses["kd"], 3 * -(p * p.log()).sum(1).mean() / N_OLD)
    (gradient,) = torch.autograd.grad(losses["kd"], out.logits, retain_graph=True)
    assert gradient.abs().max() < 1e-8
    hidden = (1 - p[:, 0] * n_new / (n_new + 1)).log()
    asked = made.target == 0
    close(unbiased_cross_entropy(out.logits, made.target, N_OLD)[asked], -hidden[asked], atol=1e-5)


def test_mib_weighs_its_distillation(case: Callable) -> None:
    made = case()
    out, old = made.outputs()
    one, none = (terms_of(MiB(kd=kd), out, old, made.target, made.step, None) for kd in (1, 0))
    assert none["kd"] == 0
    close(terms_of(MiB(kd=7), out, old, made.target, made.step, None)["kd"], 7 * one["kd"])
    assert one["ce"] == none["ce"]


# PLOP


@pytest.mark.parametrize("name", ["voc_15_5", "voc_15_1_odd"])
@pytest.mark.parametrize(("released", "weights"), [("plop", (0.01, 0.0005)), ("ade", (0.001, 0.00001))])
def test_plops_pod_gives_the_released_numbers(name: str, released: str, weights: tuple, golden: Golden) -> None:
    numbers = {key.split("/")[1]: value for key, value in golden("pod").items() if key.startswith(f"{name}/")}
    count = sum(key.startswith("old_") for key in numbers)
    new, old = (tuple(numbers[f"{which}_{index}"] for index in range(count)) for which in ("new", "old"))
    small, small_old = numbers["small_logits_new"], numbers["small_logits_old"]
    step = later_step(small_old.shape[1], small.shape[1] - small_old.shape[1])
    method = PLOP(pod=weights[0], pod_logits=weights[1])
    found = method.pod_loss(Output(small, small, new), Output(small_old, small_old, old), step)
    torch.testing.assert_close(found, numbers[f"pod_loss_{released}"], rtol=1e-5, atol=0)


def test_pod_of_a_net_just_grown(case: Callable) -> None:
    """All features are the teacher's. The new channels, added raw to the background, are felt unless they are 0."""
    made = case(5, moved=0)
    out, old = made.outputs()
    method = PLOP(pod=0.3, pod_logits=0.2)
    felt = 0.2 * pod_distance(fold_new_into_background(out.small, N_OLD), old.small)
    assert felt > 0
    close(method.pod_loss(out, old, made.step), math.sqrt((N_OLD + 5) / 5) * felt / 6)
    assert PLOP(pod=0.3, pod_logits=0).pod_loss(out, old, made.step) == 0
    silent = made.teacher.grown(5, balanced=False)
    for parameter in silent.classifier[1].parameters():
        parameter.data.zero_()
    assert method.pod_loss(silent(made.image), old, made.step) == 0


def test_pod_weighs_maps_logits_and_scales_apart(case: Callable) -> None:
    made = case(2)
    out, old = made.outputs()
    maps, logits, both = (
        PLOP(pod=a, pod_logits=b, scales=(1, 2)).pod_loss(out, old, made.step) for a, b in ((3, 0), (0, 2), (3, 2))
    )
    close(maps + logits, both, atol=1e-4)
    by_hand = [pod_distance(new, teacher, (1, 2)) for new, teacher in zip(out.features, old.features, strict=True)]
    assert len(by_hand) == 5
    close(maps, math.sqrt((N_OLD + 2) / 2) * 3 * torch.stack(by_hand).sum() / 6, atol=1e-4)


@pytest.mark.parametrize("adaptive", [True, False])
def test_a_sure_teacher_labels_all_background(adaptive: bool, case: Callable) -> None:
    made = case()
    out, old = made.outputs()
    sure = Thresholds(torch.full((N_OLD + 2,), 2.0), "median")
    losses = terms_of(PLOP(adaptive=adaptive), out, old, made.target, made.step, sure)
    assert list(losses) == ["ce", "pod"]
    labelled = torch.where(made.target == 0, old.logits.argmax(1), made.target)
    assert labelled[made.target == 0].unique().numel() > 1
    close(losses["ce"], cross_entropy(out.logits, labelled).mean(), atol=1e-5)


def test_an_unsure_teacher_leaves_the_new_pixels_only(case: Callable) -> None:
    made = case()
    out, old = made.outputs()
    unsure = Thresholds(torch.zeros(N_OLD + 2), "median")
    assert terms_of(PLOP(), out, old, made.target, made.step, unsure)["ce"] == 0
    only_new = torch.where(made.target == 0, 255, made.target)
    found = terms_of(PLOP(adaptive=False), out, old, made.target, made.step, unsure)["ce"]
    assert found > 0
    close(found, cross_entropy(out.logits, only_new).mean())


def test_each_image_is_weighed_by_its_share_of_sure_background(case: Callable) -> None:
    made = case()
    out, old = made.outputs()
    measured = Thresholds(torch.zeros(1), "median").uncertainty(old.logits)
    limit = measured[1][made.target[1] == 0].median().item()
    thresholds = Thresholds(torch.full((N_OLD + 2,), limit), "median")
    expected, factors = 0.0, []
    for i in range(2):
        background = made.target[i] == 0
        sure = measured[i] < limit
        labelled = torch.where(background, torch.where(sure, old.logits[i].argmax(0), 255), made.target[i])
        factors.append(((sure & background).sum() / background.sum()).item())
        ce = F.cross_entropy(out.logits[i : i + 1], labelled[None], ignore_index=255, reduction="sum")
        expected += factors[-1] * ce.item() / made.target.numel()
    assert factors[1] == pytest.approx(0.5, abs=0.01) and abs(factors[0] - 0.5) > 0.1
    losses = terms_of(PLOP(), out, old, made.target, made.step, thresholds)
    assert losses["ce"].item() == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(("chosen", "find"), [("released", released_thresholds), ("median", median_thresholds)])
def test_prepare_finds_the_thresholds_from_every_batch(chosen: str, find: Callable, case: Callable) -> None:
    made = case(5)
    batches = [(made.image[:1], made.target[:1]), (made.image[1:], made.target[1:])]
    pairs = [(made.teacher(image).logits, target) for image, target in batches]
    counted: list[Tensor] = []

    def reduce(counts: Tensor) -> Tensor:
        counted.append(counts)
        return counts

    method = PLOP(thresholds=chosen, floor=0.01)
    found = prepared_by(method, made.teacher, iter(batches), made.step, reduce)
    assert found.kind == chosen
    assert torch.equal(found.values, find(pairs, N_OLD, N_OLD + 5, floor=0.01).values)
    assert counted[0].sum() == (made.target == 0).sum()
    assert found.values.min() == pytest.approx(0.01)
    assert not found.values.requires_grad


def test_released_and_median_thresholds_differ(case: Callable) -> None:
    made = case(5)
    found = [
        prepared_by(PLOP(thresholds=chosen), made.teacher, [(made.image, made.target)], made.step).values
        for chosen in ("released", "median")
    ]
    assert found[1][:N_OLD].max() > 2 * found[0][:N_OLD].max()
