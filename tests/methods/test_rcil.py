"""RCIL: its terms, what a step begins with, and runs that are interrupted and exported."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import Case, later_step, terms_of
from comparing import close
from drawing import draw
from released import later_case
from small_runs import small, ticks_until

from plopkit.cube import pooled_cube
from plopkit.losses import cross_entropy, unbiased_cross_entropy, unbiased_distillation
from plopkit.methods import RCIL
from plopkit.methods.rcil import background_weight, copy_background
from plopkit.model.branches import TwoBranch
from plopkit.model.checkpoints import load_published
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.model.two_branch import TwoBranchSegmenter
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.released import export


def test_the_terms(case: Callable[..., Case]) -> None:
    made = case(2, RCIL())
    out, old = made.outputs()
    losses = terms_of(RCIL(kd=3, cube=0.3, cube_last=0.2), out, old, made.target, made.step)
    assert list(losses) == ["ce", "kd", "cube"]
    close(losses["ce"], unbiased_cross_entropy(out.logits, made.target, made.step.n_old).mean())
    close(losses["kd"], 3 * unbiased_distillation(out.logits, old.logits).mean())
    close(losses["cube"], pooled_cube(out.activated, old.activated, 0.3, 0.2))


def test_released_defaults() -> None:
    method = RCIL()
    assert (method.kd, method.cube, method.cube_last) == (100, 0.01, 0.0005)
    assert (method.merge, method.bias, method.stem) == ("released", "released", "released")


def test_step_0_is_cross_entropy_and_shared_by_all_hyper_parameters_but_the_stem(case: Callable[..., Case]) -> None:
    made = case(2, RCIL())
    out = made.outputs()[0]
    losses = terms_of(RCIL(), out, None, made.target, made.step)
    assert list(losses) == ["ce"]
    close(losses["ce"], cross_entropy(out.logits, made.target).mean())
    assert RCIL(kd=1, merge="exact", bias="balanced").first_step() == RCIL()
    assert RCIL(stem="activated").first_step() == RCIL(stem="activated")


def test_the_released_classifier() -> None:
    numbers = later_case("rcil", "classifier")
    old, new = numbers["old_weight"], numbers["new_weight_before"]
    assert torch.equal(background_weight(old, new), numbers["new_weight_after"])
    classifier = Classifier(old.shape[1], (len(old), len(new)))
    names = ("old_weight", "old_bias", "new_weight_before", "new_bias_before")
    keys = ("0.weight", "0.bias", "1.weight", "1.bias")
    classifier.load_state_dict({key: numbers[name] for key, name in zip(keys, names, strict=True)})
    copy_background(classifier)
    for key, name in zip(keys[1:], ("old_bias_after", "new_weight_after", "new_bias_after"), strict=True):
        assert torch.equal(classifier.state_dict()[key], numbers[name])


def test_a_balanced_start(case: Callable[..., Case]) -> None:
    teacher = case(2, RCIL()).teacher
    released, balanced = (RCIL(bias=bias).begin_step(teacher, later_step(6, 2)) for bias in ("released", "balanced"))
    background = teacher.classifier[0].bias[0]
    for net in (released, balanced):
        close(net.classifier[1].weight, teacher.classifier[0].weight[:1].expand_as(net.classifier[1].weight))
    assert torch.equal(released.classifier[0].bias[0], background)
    assert (balanced.classifier[0].bias[0] < background).item()
    close(balanced.classifier[1].bias, balanced.classifier[0].bias[:1].expand(2))


def test_the_head_begins_at_random_with_gain_1() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        encoder = Encoder("resnet18")
        net = RCIL().build(encoder, ASPP(encoder.channels[-1], 64, (6,)), 3)
    branches: Any = net.decoder.branches
    for first, second in zip(branches.conv, branches.conv_new, strict=True):
        assert not torch.equal(first.weight, second.weight)
        n_in, n_out = first.weight[0].numel(), first.weight[:, 0].numel()
        for weight in (first.weight, second.weight):
            assert weight.std().item() == pytest.approx((2 / (n_in + n_out)) ** 0.5, rel=0.05)
    body: Any = net.encoder.net.layer1[0].conv1
    assert isinstance(body, TwoBranch) and torch.equal(body.conv.weight, body.conv_new.weight)
    assert (
        net.encoder.plain_stem
        and not RCIL(stem="activated").build(Encoder("resnet18"), ASPP(512, 8, (6,)), 3).encoder.plain_stem
    )  # type: ignore[union-attr]


@torch.no_grad()
def test_a_step_begins_with_the_same_function_only_after_an_exact_merge(case: Callable[..., Case]) -> None:
    before = case(2, RCIL()).teacher
    for module in before.modules():
        if isinstance(module, TwoBranch):
            module.conv_new.apply(lambda part: hasattr(part, "weight") and part.weight.mul_(1.3))
    image, step = draw(3, 2, 3, 64, 64), later_step(6, 2)
    expected = before(image)
    teacher = RCIL().teacher(before, step)
    assert type(teacher) is Segmenter
    for kind, same in (("exact", True), ("released", False)):
        net = RCIL(merge=kind).begin_step(before, step).eval()
        for found, taught, original in zip(
            net(image).features, teacher(image).features, expected.features, strict=True
        ):
            scale = float(original.abs().max())
            torch.testing.assert_close(taught, original, rtol=1e-4, atol=1e-4 * scale)
            assert (float((found - original).abs().max()) < 1e-4 * scale) == same


def test_a_net_with_one_branch_is_refused(tiny_net: Callable[..., Segmenter]) -> None:
    with pytest.raises(ValueError, match=r"RCIL continues a net with two branches, .* not a 'segmenter'"):
        RCIL().begin_step(tiny_net(6), later_step(6, 2))


@pytest.mark.parametrize("method", ["rcil", "plop"])
def test_an_interrupted_run_gives_the_same_bytes(method: str, tmp_path: Path, no_pictures: None) -> None:
    """Interrupted within an epoch: the numbers that mix the branches are drawn again from the run's seed."""
    cube = {"hyper": {"distil": "cube"}} if method == "plop" else {}

    def settings(name: str) -> Any:
        few = {"optim__epochs_later": 2, "compute__save_minutes": 0}
        return small(tmp_path / name, "emoji 10-5 overlap", method, **few, **cube)

    expected = run(settings("straight"), progress=False)
    for place in [(0, 0, 1), (1, 0, 0), (1, 1, 2), (2, 0, 1)]:
        ticks_until(
            Experiment.open(settings("stopped")), lambda tick, p=place: (tick.step, tick.epoch, tick.iteration) == p
        )
    resumed = run(settings("stopped"), progress=False)
    for name in [f"checkpoints/step-{index}.safetensors" for index in range(3)] + ["results.csv"]:
        assert (resumed.path / name).read_bytes() == (expected.path / name).read_bytes()
    assert "loss_cube" in expected.ticks
    if method == "rcil":
        net = expected.net(2)
        assert type(net) is TwoBranchSegmenter and net.classes == (11, 5, 5)


def test_a_run_is_exported_with_its_branches_merged(tmp_path: Path, no_pictures: None) -> None:
    folder = run(small(tmp_path, method="rcil", hyper={"merge": "exact"}), progress=False)
    image = draw(1, 2, 3, 64, 64)
    for index, file in enumerate(export(folder.path, "plopkit", tmp_path / "exported")):
        found = load_published(file)
        assert type(found) is Segmenter
        with torch.no_grad():
            expected = folder.net(index).eval()(image).logits
            torch.testing.assert_close(
                found(image).logits, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
            )
    with pytest.raises(ValueError, match="the official code knows the encoders"):
        export(folder.path, "official", tmp_path / "official")
