"""UCD: its terms together, and the classifier that is never trained."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import Case, later_step, terms_of
from comparing import close
from released import later_case
from small_runs import small

from plopkit.contrast import contrast_loss, contrast_pairs
from plopkit.methods import UCD, FineTuning, MiB
from plopkit.model.segmenter import Output
from plopkit.model.upsampling import upsample
from plopkit.presets import method_of
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.steps import first_net
from plopkit.scenario import Scenario


@pytest.mark.parametrize("case", ["clean", "borders", "voc_15_1"])
def test_the_terms_are_the_released_ones(case: str) -> None:
    numbers = later_case("ucd", case)
    small_old, logits = numbers["small_logits_old"], numbers["logits"]
    full = upsample(small_old, logits.shape[2:])
    step = later_step(int(numbers["n_old"]), logits.shape[1] - int(numbers["n_old"]))
    outputs = (
        Output(logits, logits, head=numbers["features"]),
        Output(full, small_old, head=numbers["features_old"]),
    )
    found = terms_of(UCD(), *outputs, numbers["labels"].long(), step)
    assert list(found) == ["ce", "kd", "contrast"]
    close(found["ce"], numbers["unbiased_cross_entropy"])
    close(found["kd"], 10 * numbers["unbiased_distillation"])
    close(found["contrast"], numbers["loss"] / 100)
    close(torch.stack(list(found.values())).sum(), numbers["total"])


def test_every_option_reaches_the_contrast(case: Callable[..., Case]) -> None:
    made = case(2)
    out, old = made.outputs()
    method = UCD(contrast=3.0, temperature=0.5, labels="nearest", negatives="shifted", uncertainty=False)
    found = terms_of(method, out, old, made.target, made.step)
    pairs = contrast_pairs(out.head, old.head, old.small, made.target, 8, "nearest")
    close(found["contrast"], 3 * contrast_loss(pairs, 0.5, "shifted", uncertainty=False))
    expected = terms_of(MiB(), out, old, made.target, made.step)
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_step_0_is_its_own_only_with_a_frozen_classifier() -> None:
    assert UCD(kd=3.0).first_step() == UCD() and not UCD().shares_step_0
    assert UCD(freeze_first=False).first_step() == FineTuning()


@pytest.mark.parametrize("frozen", [True, False])
def test_the_first_classifier_is_never_trained(frozen: bool, tmp_path: Path, no_pictures: Any) -> None:
    settings = small(tmp_path, "emoji 15-5 overlap", "ucd", hyper__freeze_first=frozen)
    start = first_net(settings, Scenario.parse(settings.scenario), method_of(settings).first_step()).classifier[0]
    folder = run(settings, progress=False)
    first, second = folder.net(0).classifier[0], folder.net(1).classifier[0]
    assert torch.equal(start.weight, first.weight) == torch.equal(start.bias, first.bias) == frozen
    assert torch.equal(first.weight, second.weight) == frozen
    assert torch.equal(first.bias[1:], second.bias[1:]) == frozen
    assert first.bias[0] > second.bias[0]  # the background's becomes a share


@pytest.mark.parametrize(("task", "classes"), [("20-2", 23), ("15-5", 26)])  # found in step 1, and in step 2
def test_released_labels_are_refused_beyond_voc(
    task: str, classes: int, tmp_path: Path, folder_root: Callable[..., Path]
) -> None:
    root = folder_root(train=80, val=30, classes=classes, size=(64, 64))
    settings = small(tmp_path / "out", f"folder {task} overlap", "ucd", data__root=root, optim__batch=2)
    with pytest.raises(ValueError, match=f"released labels end at 20, and the net has {classes} channels; choose"):
        Experiment.open(settings)
    assert not (tmp_path / "out").exists()
