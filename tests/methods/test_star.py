"""STAR: what it keeps, replays and counts, and its terms with their gradients, as released and repaired."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import Case, later_step, prepared_by, terms_of
from comparing import close
from released import later_case
from small_runs import TWO_EPOCHS, small, ticks_until
from torch import Tensor, nn

from plopkit.methods import DKD, STAR, Batch, StepContext
from plopkit.methods.star import Prepared
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.sigmoid import SigmoidClassifier, classifier_of
from plopkit.model.upsampling import upsample
from plopkit.replay import (
    Kept,
    Plan,
    contrast,
    kept_of,
    numbers_after,
    old_feature_loss,
    plan,
    predicted_numbers,
    replayed,
    sampled,
    teachers_classes,
)
from plopkit.runs.experiment import Experiment, run
from plopkit.scenario import IGNORE

LATER = ("voc_15_5", "voc_15_1_step2_disjoint")
later_cases = pytest.mark.parametrize("case", LATER)


class Numbers:
    """A case of the golden file."""

    def __init__(self, case: str):
        self.of = later_case("star", case)
        self.n_old = int(self.of["n_old"]) + 1
        self.n_new, self.batch = len(self.of["new_classes"]), int(self.of["batch"])
        self.step = replace(
            later_step(self.n_old, self.n_new), protocol="disjoint" if "disjoint" in case else "overlap"
        )
        self.labels = self.of["labels"].long()
        self.first = self.labels[: self.batch]

    def classifier(self, kind: str = "") -> SigmoidClassifier:
        weights, biases = (
            [self.of[name] for i in range(9) if (name := f"{part}{kind}_{i}") in self.of] for part in ("weight", "bias")
        )
        return classifier_of(weights, biases, auxiliary=False)

    def batches(self, maps: Tensor) -> list[tuple[Tensor, Tensor]]:
        return list(zip(maps.split(self.batch), self.labels.split(self.batch), strict=True))

    @property
    def before(self) -> Kept:
        names = ("previous_prototypes", "previous_norm_mean_and_std", "previous_noise", "previous_numbers")
        return Kept(*(self.of[name] for name in names))

    def old_logits(self) -> Tensor:
        with torch.no_grad():
            return upsample(self.classifier("_old")(self.of["features_old"]), self.labels.shape[1:])

    def predicted(self, least: float = 0.5) -> Any:
        size = self.of["features"].shape[2:]
        return predicted_numbers([(old, labels, size) for old, labels in self.batches(self.old_logits())], least)


@pytest.mark.parametrize("case", ["voc_15_1_step0", *LATER])
def test_what_is_kept_of_each_class(case: str) -> None:
    numbers = Numbers(case)
    first = case.endswith("step0")
    n_old, before = (1, None) if first else (numbers.n_old, numbers.before)
    kept = kept_of(numbers.batches(numbers.of["features"]), n_old, n_old + numbers.n_new, before, "released")
    assert torch.equal(kept.numbers, numbers.of["numbers"])
    if "prototypes" in numbers.of:
        close(kept.prototypes, numbers.of["prototypes"])
        close(kept.norms, numbers.of["norm_mean_and_std"])
        close(kept.spread, numbers.of["noise"])
    own = kept_of(numbers.batches(numbers.of["features"]), n_old, n_old + numbers.n_new, before, "own")
    assert torch.equal(own.spread, kept.spread) == first
    old = own.spread[: n_old - 1]
    assert first or torch.equal(old, numbers.before.spread)


def test_the_own_spread_by_a_plain_loop() -> None:
    numbers = Numbers("voc_15_5")
    features, labels = numbers.of["features"], sampled(numbers.labels, (4, 5))
    kept = kept_of(numbers.batches(features), numbers.n_old, numbers.n_old + numbers.n_new, numbers.before)
    for index, channel in enumerate(numbers.step.new):
        found = features.movedim(1, -1)[labels == channel]
        length = found.norm(dim=1)
        unit = found / length[:, None]
        prototype = unit.sum(0) / unit.sum(0).norm()
        at = numbers.n_old - 1 + index
        close(kept.prototypes[at], prototype)
        close(kept.spread[at], ((unit - prototype) ** 2).mean(0).sqrt())
        close(kept.norms[:, at], torch.stack([length.mean(), length.std()]))


def test_a_class_without_a_place_is_0() -> None:
    features, labels = torch.ones(1, 3, 2, 2), torch.zeros(1, 4, 4, dtype=torch.int64)
    kept = kept_of([(features, labels)], 1, 3)
    assert kept.numbers.tolist() == [4, 0, 0]
    assert not kept.prototypes.any() and not kept.spread.any() and not kept.norms.any()
    for make in (lambda: kept_of([], 1, 3), lambda: predicted_numbers([], 0.5)):
        with pytest.raises(ValueError, match="there is no batch"):
            make()


@later_cases
def test_what_is_replayed_and_handed_on(case: str) -> None:
    numbers, disjoint = Numbers(case), "disjoint" in case
    predicted = numbers.predicted()
    assert torch.equal(predicted.numbers, numbers.of["predicted_numbers"])
    assert torch.equal(
        teachers_classes(numbers.old_logits()[: numbers.batch], 0.5), numbers.of["teacher_prediction"].long()
    )
    planned = plan(numbers.before.numbers, predicted, numbers.n_new, disjoint)
    n_old = len(numbers.before.prototypes)
    assert planned.classes.bincount(minlength=n_old).tolist() == numbers.of["replayed_per_iteration"].tolist()
    assert planned.background == pytest.approx(numbers.of["extra_background_ratio"].item())
    left = numbers_after(numbers.before.numbers, predicted, numbers.of["numbers"], disjoint)
    close(left, numbers.of["numbers_for_next_step"])
    found = replayed(numbers.before, planned.classes, numbers.of["noise_draws"], numbers.of["norm_draws"])
    close(found, numbers.of["replayed_features"])
    once = replayed(numbers.before, planned.classes, numbers.of["noise_draws"] * 0, numbers.of["norm_draws"][:1])
    directions = once / once.norm(dim=0)
    prototypes = numbers.before.prototypes[planned.classes].T
    sign = torch.sign((directions * prototypes).sum(0))
    close(sign * directions, prototypes)  # with one factor for all channels only the norm varies


@later_cases
def test_the_terms_and_their_gradients_are_the_released_ones(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, method = Numbers(case), STAR()
    classifier, features = numbers.classifier(), numbers.of["features"][: numbers.batch].clone().requires_grad_()
    small = classifier(features)
    size = numbers.labels.shape[1:]
    out = Output(upsample(small, size), small, head=features)
    old_features = numbers.of["features_old"][: numbers.batch]
    old = Output(numbers.old_logits()[: numbers.batch], small, head=old_features)
    classes = torch.repeat_interleave(numbers.of["replayed_per_iteration"].long())
    planned = Plan(classes, numbers.of["extra_background_ratio"].item())
    draws = iter([numbers.of["noise_draws"], numbers.of["norm_draws"]])
    monkeypatch.setattr(torch, "randn", lambda *shape, **options: next(draws))
    net = Net(classifier)
    batch = Batch(out, old, numbers.first, net, StepContext(numbers.step), Prepared(numbers.before, planned))  # type: ignore[arg-type]
    found = {name: term.value for name, term in method.losses(batch).items()}  # type: ignore[union-attr]
    close(found["mbce"], numbers.of["loss_mbce"].sum())
    close(found["pkd"], 5 * numbers.of["loss_pkd"])
    close(found["contrast"], 0.05 * numbers.of["loss_cont"])
    total = torch.stack(list(found.values())).sum()
    close(total, numbers.of["loss"])
    total.backward()
    close(features.grad, numbers.of["gradient_features"])
    for index, part in enumerate(classifier):
        close(part.weight.grad[..., 0, 0], numbers.of[f"gradient_weight_{index}"])
        close(part.bias.grad, numbers.of[f"gradient_bias_{index}"])
    assert torch.equal(method.predict(out.logits.detach()), numbers.of["prediction"].long())


class Net:
    """What the losses ask of a net."""

    def __init__(self, classifier: SigmoidClassifier):
        self.classifier = classifier


def test_without_a_pixel_of_either_kind_nothing_is_nan(case: Callable[..., Case]) -> None:
    made = case(1, STAR())
    head = made.outputs()[0].head
    assert head is not None
    nowhere = torch.zeros_like(made.target, dtype=torch.bool)
    assert old_feature_loss(head, head + 1, nowhere) == 0
    prototypes = torch.eye(head.shape[1])[:3]
    absent = contrast(head, torch.zeros_like(made.target), 4, prototypes, 5)
    assert absent == 1  # the released value for a class that is not in the batch
    assert contrast(head, made.target, 6, torch.zeros_like(prototypes), 7) == 0
    prepared = prepared_by(STAR(), made.teacher, [(made.image, made.target)], made.step)
    nothing = prepared._replace(plan=Plan(prepared.plan.classes[:0], 0.0))
    target = torch.full_like(made.target, IGNORE)
    terms = terms_of(STAR(), *made.outputs(), target, made.step, nothing, made.net)
    assert all(term.isfinite() for term in terms.values()) and terms["pkd"] == 0


def test_the_repaired_forms_change_what_they_should(case: Callable[..., Case]) -> None:
    made = case(2, STAR())
    batches = [(made.image, made.target)]
    released, half = (
        prepared_by(STAR(decision=kind), made.teacher, batches, made.step) for kind in ("released", "half")
    )
    logits = made.outputs()[1].logits
    assert (teachers_classes(logits, 0.0) == logits.argmax(1)).all()
    assert (teachers_classes(logits, 0.5) > 0).sum() < (teachers_classes(logits, 0.0) > 0).sum()
    assert isinstance(released, Prepared) and isinstance(half, Prepared)
    planned = Plan(torch.tensor([0, 0, 1, 4, 4, 4]), 1.0)
    shapes = {kind: STAR(factors=kind)._drawn(released.kept, planned)[1].shape for kind in ("released", "vector")}
    width = released.kept.prototypes.shape[1]
    assert shapes == {"released": (width, 6), "vector": (1, 6)}


def test_what_a_later_step_trains(case: Callable[..., Case]) -> None:
    made = case(2, STAR())
    net = STAR().begin_step(made.teacher.requires_grad_(True), made.step).train()
    groups = STAR().parameter_groups(net, made.step)
    assert [(g["lr_scale"], "weight_decay" in g) for g in groups] == [(1, False), (10, False), (100, False)]
    names = {id(p): name for name, p in net.named_parameters()}
    assert {names[id(p)] for p in groups[2]["params"]} == {"classifier.1.weight", "classifier.1.bias"}
    assert not any(m.training for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm | nn.Dropout))
    assert net.classes == (6, 2)


def test_step_0_is_the_same_for_all_later_hyper_parameters() -> None:
    other = STAR(pkd=1, contrast=0, positive=2, new_lr=1, decision="half", factors="vector")
    assert other.first_step() == STAR() == STAR().first_step()


def test_a_net_of_another_kind_is_refused(tiny_net: Callable[..., Segmenter]) -> None:
    tiny = tiny_net(6)
    dkds = DKD().build(tiny.encoder, tiny.decoder, 6)
    for net in (tiny_net(6), dkds):
        with pytest.raises(ValueError, match="STAR continues a net of binary decisions without an auxiliary"):
            STAR().begin_step(net, later_step(6, 2))


def test_an_interrupted_run_gives_the_same_bytes(tmp_path: Path, no_pictures: Any) -> None:
    """The draws of a step come from the run's seed, and what is kept from its checkpoint."""

    def settings(name: str) -> Any:
        return small(tmp_path / name, "emoji 10-5 overlap", "star", compute__save_minutes=0, **TWO_EPOCHS)

    expected = run(settings("straight"), progress=False)
    for place in [(1, 1, 1), (2, 0, 1)]:
        ticks_until(
            Experiment.open(settings("stopped")), lambda tick, p=place: (tick.step, tick.epoch, tick.iteration) == p
        )
    resumed = run(settings("stopped"), progress=False)
    for index in range(3):
        names = [f"checkpoints/step-{index}.safetensors"]
        names += [str(path.relative_to(expected.path)) for path in expected.checkpoints.glob(f"step-{index}.state*")]
        assert len(names) > 1
        for name in names:
            assert (resumed.path / name).read_bytes() == (expected.path / name).read_bytes()
