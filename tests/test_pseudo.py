"""Pseudo-labels: the released numbers (to 1e-5 absolute), plain loops, and identities."""

import math
from collections.abc import Iterator

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_pseudo import (
    CASES,
    LOSSES,
    close,
    draw_batch,
    golden,
    golden_batches,
    plain_entropy,
    plain_median,
    plain_pseudo_label,
)

from plopkit import pseudo
from plopkit.pseudo import PseudoLabels, Thresholds, median_thresholds, pseudo_label, released_thresholds
from plopkit.scenario import IGNORE
from plopkit.support import chunks


@pytest.fixture(params=[2**19, 8], ids=lambda n: f"chunks of {n} values", scope="module", autouse=True)
def values_of_a_chunk(request: pytest.FixtureRequest) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(chunks, "CPU_CHUNK", request.param)
        yield


@pytest.mark.parametrize("case", ["voc_15_5", "voc_15_1"])
def test_golden_entropy(case: str) -> None:
    found = pseudo.released_uncertainty(torch.from_numpy(LOSSES[f"{case}/logits_old"]))
    close(found, torch.from_numpy(LOSSES[f"{case}/entropy"]), 1e-7)


@pytest.mark.parametrize("case", CASES)
def test_golden_released_thresholds_and_labels(case: str) -> None:
    logits, target = golden(case, "logits_old"), golden(case, "labels")
    expected = golden(case, "thresholds_released")
    n_old, n_seen = logits.shape[2], len(expected)
    assert golden(case, "max_entropy").item() == pytest.approx(math.log(n_seen))
    thresholds = released_thresholds(golden_batches(case), n_old, n_seen)
    assert thresholds.kind == "released"
    close(thresholds.values, expected, 1e-8)
    found = pseudo_label(logits[0], target[0], n_old, thresholds)
    assert torch.equal(found.target, golden(case, "pseudo_labels"))
    close(found.factor, golden(case, "adaptive_factor"), 1e-6)


@settings(deadline=None, max_examples=20)
@given(
    n_old=st.integers(2, 5), n_new=st.integers(1, 3), seed=st.integers(0, 999),
    shape=st.tuples(st.integers(1, 2), st.integers(1, 5), st.integers(1, 6)),
)  # fmt: skip
def test_plain_loops(n_old: int, n_new: int, seed: int, shape: tuple[int, int, int]) -> None:
    logits, target = draw_batch(seed, n_old, n_old + n_new, shape)
    entropy = torch.tensor([plain_entropy(v.tolist()) for v in logits.movedim(1, -1).reshape(-1, n_old)]).view(shape)
    close(pseudo.uncertainty(logits), entropy / math.log(n_old))
    close(pseudo.released_uncertainty(logits), entropy / math.log(n_old) / n_old)
    median = median_thresholds([(logits, target)], n_old, n_old + n_new)
    expected = [plain_median(logits, target, channel) for channel in range(n_old)] + [0.0] * n_new
    close(median.values, torch.tensor(expected))
    released = released_thresholds([(logits, target)], n_old, n_old + n_new, floor=0.01)
    for thresholds in (median, released, Thresholds(torch.full((n_old + n_new,), 0.1), "released")):
        found = pseudo_label(logits, target, n_old, thresholds)
        labelled, factor = plain_pseudo_label(logits, target, n_old, thresholds)
        assert torch.equal(found.target, labelled)
        close(found.factor, factor)


def test_uncertainty_runs_from_0_to_1() -> None:
    logits = torch.zeros(1, 4, 1, 3)
    logits[0, 1, 0, 1] = 200
    logits[0, :2, 0, 2] = 200
    close(pseudo.uncertainty(logits), torch.tensor([[[1, 0, 0.5]]]), 1e-6)
    close(pseudo.released_uncertainty(logits), torch.tensor([[[1, 0, 0.5]]]) / 4, 1e-6)
    for n in range(2, 160):  # rounding takes the largest entropy of some n beyond 1
        assert pseudo.uncertainty(torch.zeros(1, n, 1, 1)).item() == pytest.approx(1, abs=1e-6)
        assert pseudo.uncertainty(torch.zeros(1, n, 1, 1)) <= 1
    large = 30 * torch.randn(1, 150, 20, 20, generator=torch.Generator().manual_seed(0))
    for scale in (0.0, 1e-4, 1.0, 1e3):
        found = pseudo.uncertainty(large * scale)
        assert found.isfinite().all()
        assert 0 <= found.min() <= found.max() <= 1


def test_a_channel_of_minus_infinity_takes_no_part() -> None:
    logits = draw_batch(0, 4, 6, (1, 3, 3))[0]
    without = torch.cat([logits, torch.full((1, 1, 3, 3), -math.inf)], dim=1)
    close(pseudo.uncertainty(without) * math.log(5), pseudo.uncertainty(logits) * math.log(4), 1e-6)
    close(
        pseudo.released_uncertainty(without) * 5 * math.log(5),
        pseudo.released_uncertainty(logits) * 4 * math.log(4),
        1e-6,
    )


def test_uncertainty_has_a_gradient() -> None:
    logits = draw_batch(0, 4, 6, (2, 3, 3))[0].double().requires_grad_()
    for measure in (pseudo.uncertainty, pseudo.released_uncertainty):
        assert torch.autograd.gradcheck(measure, logits)


def test_a_pixel_at_its_threshold_is_not_confident() -> None:
    logits, target = draw_batch(0, 4, 6, (1, 1, 1))
    uncertainty = pseudo.uncertainty(logits).item()
    assert not pseudo_label(logits, target, 4, Thresholds(torch.full((6,), uncertainty), "median")).confident
    assert pseudo_label(logits, target, 4, Thresholds(torch.full((6,), 1.01 * uncertainty), "median")).confident


def test_new_and_ignored_targets_stay_as_they_are() -> None:
    logits, target = draw_batch(1, 4, 6, (2, 8, 8))
    target[0, 0] = torch.tensor([0, 1, 2, 3, 4, 5, IGNORE, 0])
    found = pseudo_label(logits, target.to(torch.uint8), 4, Thresholds(torch.full((6,), math.inf), "median"))
    background = target < 4
    assert torch.equal(found.target[~background], target[~background])
    assert torch.equal(found.target[background], logits.argmax(dim=1)[background])
    assert found.target.dtype == torch.int64
    assert found.confident.all()
    none = pseudo_label(logits, target, 4, Thresholds(torch.zeros(6), "median"))
    assert (none.target[background] == IGNORE).all()
    assert torch.equal(none.factor, torch.zeros(2))
    assert isinstance(none, PseudoLabels)


def test_the_adaptive_factor_is_the_confident_share() -> None:
    found = pseudo.confident_share(torch.tensor([3, 0, 0]), torch.tensor([4, 5, 0]))
    close(found, torch.tensor([0.75, 0, 0]), 1e-6)


def test_an_image_without_background_has_factor_0() -> None:
    logits = draw_batch(0, 3, 5, (2, 4, 4))[0]
    found = pseudo_label(logits, torch.full((2, 4, 4), 4), 3, Thresholds(torch.ones(5), "median"))
    assert torch.equal(found.factor, torch.zeros(2))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, target = draw_batch(0, 4, 6, (2, 8, 8))
    logits = (20 * logits).to(dtype)
    exact = logits.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pseudo.uncertainty(logits), pseudo.uncertainty(exact))
        assert torch.equal(pseudo.released_uncertainty(logits), pseudo.released_uncertainty(exact))
        for compute in (released_thresholds, median_thresholds):
            found, expected = compute([(logits, target)], 4, 6), compute([(exact, target)], 4, 6)
            assert torch.equal(found.values, expected.values)
            assert found.values.dtype == torch.float32
            for found_part, expected_part in zip(
                pseudo_label(logits, target, 4, found), pseudo_label(exact, target, 4, found), strict=True
            ):
                assert torch.equal(found_part, expected_part)
                assert found_part.isfinite().all()


def test_no_gradient_flows_into_the_teacher() -> None:
    logits, target = draw_batch(0, 4, 6, (1, 4, 4))
    logits.requires_grad_()
    thresholds = median_thresholds([(logits, target)], 4, 6)
    found = pseudo_label(logits, target, 4, thresholds)
    assert not any(tensor.requires_grad for tensor in (thresholds.values, *found))


def test_errors_say_what_was_given() -> None:
    logits, target = draw_batch(0, 4, 6, (1, 4, 4))
    thresholds = Thresholds(torch.zeros(6), "median")
    with pytest.raises(ValueError, match="logits have 4 channels, but n_old is 5"):
        pseudo_label(logits, target, 5, thresholds)
    with pytest.raises(ValueError, match="n_seen is 3, less than n_old, 4"):
        pseudo_label(logits, target, 4, Thresholds(torch.zeros(3), "median"))
    with pytest.raises(ValueError, match="of the thresholds exceeds their ceiling"):
        median_thresholds([(logits, target)], 4, 6, floor=0.1, ceiling=0.01)
    for measure in (pseudo.uncertainty, pseudo.released_uncertainty):
        with pytest.raises(ValueError, match="at least two channels, not 1"):
            measure(logits[:, :1])
    for compute in (released_thresholds, median_thresholds):
        with pytest.raises(ValueError, match="at least one batch"):
            compute([], 4, 6)
        with pytest.raises(ValueError, match="logits have 4 channels, but n_old is 3"):
            compute([(logits, target)], 3, 6)
        with pytest.raises(ValueError, match="n_seen is 3, less than n_old, 4"):
            compute([(logits, target)], 4, 3)
        with pytest.raises(ValueError, match="NaN or infinity"):
            compute([(logits.where(target[:, None] > 0, math.nan), target)], 4, 6)


def test_old_classes_that_targets_show_are_no_background() -> None:
    """Images of a memory show old classes: the teacher labels their background alone."""
    logits, target = draw_batch(0, 4, 6, (2, 8, 8))
    target[0, 0] = 2
    certain = Thresholds(torch.full((6,), math.inf), "median")
    found = pseudo_label(logits, target, 4, certain, shows_old=True)
    assert torch.equal(found.target, torch.where(target == 0, logits.argmax(1), target))
    close(found.factor, torch.ones(2), 1e-4)
    none = pseudo_label(logits, target, 4, Thresholds(torch.zeros(6), "median"), shows_old=True)
    assert torch.equal(none.target, torch.where(target == 0, IGNORE, target))
    assert not torch.equal(pseudo_label(logits, target, 4, certain).target, found.target)
