"""ALIFE: the released terms, their weights by step, and what is frozen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import Case, later_step, terms_of
from comparing import close
from released import later_case
from small_runs import small
from torch import Tensor, nn

from plopkit.losses import adaptive_logits, cross_entropy
from plopkit.methods import ALIFE
from plopkit.methods.alife import weight_at
from plopkit.model.segmenter import Output
from plopkit.runs.experiment import run
from plopkit.scenario import IGNORE, Scenario, Step

CASES = pytest.mark.parametrize("case", ["voc_15_5", "voc_15_1_step2", "ade_50_50"])


def terms_on(numbers: dict[str, Tensor], labels: Tensor, **weights: Any) -> dict[str, Tensor]:
    logits, old = numbers["logits"], numbers["logits_old"]
    step = later_step(old.shape[1], logits.shape[1] - old.shape[1])
    return terms_of(ALIFE(**weights), Output(logits, logits), Output(old, old), labels, step)


@CASES
def test_the_terms_and_their_gradient_are_the_released_ones(case: str) -> None:
    numbers = later_case("alife", case)
    numbers["logits"].requires_grad_()
    ali, kd = numbers["weights"][:2].tolist()
    close(adaptive_logits(numbers["logits"], numbers["logits_old"]), numbers["step1/ali_per_pixel"])
    found = terms_on(numbers, numbers["labels"].long(), ali=(ali,), kd=(kd,))
    assert list(found) == ["ce", "ali", "kd"]
    for name, value in found.items():
        close(value, numbers[f"step1/loss_{name}"])
    total = torch.stack(list(found.values())).sum()
    close(total, numbers["step1/total"])
    total.backward()
    close(numbers["logits"].grad, numbers["step1/gradient"], atol=1e-7)


@CASES
def test_step_0_is_plain_cross_entropy(case: str) -> None:
    numbers = later_case("alife", case)
    close(cross_entropy(numbers["logits"], numbers["labels"].long()).mean(), numbers["step0/loss_ce"])
    assert ALIFE().shares_step_0


@pytest.mark.parametrize(("label", "absent"), [(0, "kd"), (IGNORE, "ali")])
def test_a_term_without_a_pixel_is_0_and_not_nan(label: int, absent: str) -> None:
    numbers = later_case("alife", "voc_15_5")
    numbers["logits"].requires_grad_()
    found = terms_on(numbers, torch.full_like(numbers["labels"], label, dtype=torch.int64))
    assert found["ce"] == 0 and found[absent] == 0
    assert all(value > 0 for name, value in found.items() if name not in ("ce", absent))
    found[absent].backward()
    assert not numbers["logits"].grad.any()


def test_each_later_step_has_its_weight_and_the_last_repeats() -> None:
    steps = Scenario.parse("voc 15-1 overlap").steps
    assert [weight_at((3.0, 5.0, 2.0), step) for step in steps[1:]] == [3, 5, 2, 2, 2]
    numbers = later_case("alife", "voc_15_5")
    first, third = (
        terms_of(
            ALIFE(ali=(3.0, 5.0), kd=(1.0, 10.0)),
            Output(numbers["logits"], numbers["logits"]),
            Output(numbers["logits_old"], numbers["logits_old"]),
            numbers["labels"].long(),
            Step(index, "overlap", tuple(range(16, 21)), tuple(range(16)), ()),
        )
        for index in (1, 3)
    )
    close(third["ali"], first["ali"] * 5 / 3)
    close(third["kd"], first["kd"] * 10)


def test_the_adaptive_logits_need_the_teachers_channels() -> None:
    with pytest.raises(ValueError, match="fewer than the teacher's 5"):
        adaptive_logits(torch.zeros(1, 4, 2, 2), torch.zeros(1, 5, 2, 2))


@pytest.mark.parametrize("frozen", [True, False])
def test_norms_stand_still_in_later_steps(frozen: bool, case: Callable[..., Case]) -> None:
    made = case(2)
    teacher = made.teacher.requires_grad_(True)
    net = ALIFE(freeze_norms=frozen).begin_step(teacher, made.step).train()
    norms = {name: module for name, module in net.named_modules() if isinstance(module, nn.BatchNorm2d)}
    assert any(name.startswith("encoder") for name in norms) and any(name.startswith("decoder") for name in norms)
    for module in norms.values():
        assert module.training is not frozen
        assert all(p.requires_grad is not frozen for p in module.parameters())
    before = {name: module.running_mean.clone() for name, module in norms.items()}
    net(made.image)
    assert all(torch.equal(before[name], module.running_mean) == frozen for name, module in norms.items())
    others = {id(p) for p in net.parameters()} - {id(p) for m in norms.values() for p in m.parameters()}
    assert others <= {id(p) for p in net.parameters() if p.requires_grad}


def test_a_run_changes_no_norm_in_later_steps(tmp_path: Path, no_pictures: Any) -> None:
    folder = run(small(tmp_path, method="alife"), progress=False)
    before, after = folder.net(0).state_dict(), folder.net(1).state_dict()
    norms = [name for name in before if name.endswith("running_var")]
    assert norms
    for name in norms:
        for kind in ("running_var", "running_mean", "weight", "bias"):
            key = name.replace("running_var", kind)
            assert torch.equal(before[key], after[key])
    assert not torch.equal(before["decoder.reduce.weight"], after["decoder.reduce.weight"])
