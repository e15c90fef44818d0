"""EWF: the released fusion, what is frozen, and what becomes of the background's bias."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from batches import Case
from comparing import close
from released import later_case, part_of
from small_runs import small

from plopkit.fusion import fused, fused_thresholded, merge_threshold, merge_weight
from plopkit.methods import EWF, EWFMiB, Method, StepContext
from plopkit.runs.experiment import run

CASES = pytest.mark.parametrize("case", ["voc_15_1", "voc_15_5"])
KINDS = pytest.mark.parametrize("kind", [EWF, EWFMiB])


@CASES
def test_fusion_gives_the_released_numbers(case: str) -> None:
    numbers = later_case("ewf", case)
    before, after = part_of(numbers, "before"), part_of(numbers, "after")
    n_old, n_new = int(numbers["n_old"]), int(numbers["n_new"])
    weight = merge_weight(n_new, n_old + n_new)
    assert weight == numbers["merge_weight"].item()
    threshold = merge_threshold(before, after)
    assert threshold == numbers["merge_threshold"]
    for name, old in before.items():
        close(fused(old, after[name], weight), numbers[f"fused/{name}"], atol=1e-6)
        found = fused_thresholded(old, after[name], weight, threshold)
        close(found, numbers[f"fused_thresholded/{name}"], atol=1e-6)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.45, 1.0])
def test_the_threshold_by_a_plain_loop(share: float) -> None:
    generator = torch.Generator().manual_seed(1)
    before, after = ({n: torch.randn(4, n, generator=generator) for n in (3, 5)} for _ in range(2))
    threshold = merge_threshold({str(n): t for n, t in before.items()}, {str(n): t for n, t in after.items()}, share)
    moved = sorted(((before[n] - after[n]).abs().flatten().tolist() for n in (3, 5)), key=len)
    ordered = sorted([*moved[0], *moved[1]], reverse=True)
    count = math.floor(share * 32)
    assert threshold.item() == (ordered[count - 1] if count else math.inf)
    changed = sum((fused_thresholded(before[n], after[n], 0.5, threshold) != after[n]).sum().item() for n in before)
    assert changed == count


@pytest.mark.parametrize(("n_new", "n_seen"), [(0, 16), (17, 16)])
def test_a_step_without_new_channels_has_no_weight(n_new: int, n_seen: int) -> None:
    with pytest.raises(ValueError, match=f"between 1 and all {n_seen} of the channels, not {n_new}"):
        merge_weight(n_new, n_seen)


@KINDS
def test_only_the_newest_classifier_is_trained(kind: type[Method], case: Callable[..., Case]) -> None:
    made = case(2)
    net = kind().begin_step(kind().begin_step(made.teacher, made.step).requires_grad_(True), made.step)
    frozen = {name for name, p in net.named_parameters() if not p.requires_grad}
    expected = {f"classifier.{index}.{kind}" for index in (0, 1) for kind in ("weight", "bias")}
    # The teacher of the fixture is frozen as a whole.
    assert {name for name in frozen if name.startswith("classifier")} == expected
    assert net.classes == (6, 2, 2)
    (group,) = kind().parameter_groups(net, made.step)
    assert {id(p) for p in group["params"]} == {id(p) for p in net.parameters() if p.requires_grad}


@KINDS
@pytest.mark.parametrize("fusion", ["all", "thresholded"])
def test_a_step_ends_with_every_shared_tensor_fused(kind: type[Method], fusion: str, case: Callable[..., Case]) -> None:
    made = case(2)
    method = kind(fusion=fusion)
    before = made.teacher
    made.net.train()
    made.net(made.image)  # the statistics of its norms change
    trained = {name: tensor.clone() for name, tensor in made.net.state_dict().items()}
    net, state = method.end_step(made.net, StepContext(made.step, before=lambda: before))
    assert state == {} and net is made.net
    old, weight = before.state_dict(), math.sqrt(2 / 8)
    for name, tensor in net.state_dict().items():
        if name not in old or not tensor.is_floating_point():
            assert torch.equal(tensor, trained[name]), name
        elif fusion == "all":
            close(tensor, (1 - weight) * old[name] + weight * trained[name])
    statistics = [name for name in old if name.endswith("running_mean")]
    assert statistics and any("num_batches_tracked" in name for name in old)
    if fusion == "thresholded":
        shared = [name for name in old if old[name].is_floating_point()]
        changed = sum((net.state_dict()[n] != trained[n]).sum().item() for n in shared)
        assert changed == pytest.approx(0.45 * sum(old[n].numel() for n in shared), rel=0.01)


@KINDS
@pytest.mark.parametrize("fusion", ["all", "thresholded"])
def test_what_was_not_trained_keeps_its_bits(kind: type[Method], fusion: str, case: Callable[..., Case]) -> None:
    made = case(2)
    made.net.encoder.load_state_dict(made.teacher.encoder.state_dict())  # as of a frozen one
    net, _ = kind(fusion=fusion).end_step(made.net, StepContext(made.step, before=lambda: made.teacher))
    before = made.teacher.encoder.state_dict()
    assert all(torch.equal(tensor, before[name]) for name, tensor in net.encoder.state_dict().items())


def test_step_0_is_not_fused(case: Callable[..., Case]) -> None:
    made = case(2)
    before = {name: tensor.clone() for name, tensor in made.net.state_dict().items()}
    net, state = EWF().end_step(made.net, StepContext(made.step))
    assert state == {} and all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items())


@pytest.mark.parametrize("method", ["ewf", "ewf-mib"])
def test_a_run_undoes_most_of_the_backgrounds_start(method: str, tmp_path: Path, no_pictures: Any) -> None:
    """The frozen bias, lowered by ln(n + 1), ends at b − λ ln(n + 1); the other old channels do not move at all."""
    folder = run(small(tmp_path, method=method), progress=False)
    before, after = folder.net(0).classifier[0], folder.net(1).classifier[0]
    lowered = math.sqrt(5 / 21) * math.log(6)
    close(after.bias[0], before.bias[0] - lowered)
    close(after.bias[1:], before.bias[1:])
    close(after.weight, before.weight)
    assert not torch.equal(folder.net(1).decoder.reduce.weight, folder.net(0).decoder.reduce.weight)
