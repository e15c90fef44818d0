"""Thresholds of uncertainty: the released numbers, plain loops, and what the released median does at its limits."""

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from plain_pseudo import CASES, close, draw_batch, golden, golden_batches, plain_released_median, two_channels
from torch import Tensor

from plopkit import pseudo
from plopkit.pseudo import Thresholds, median_thresholds, pseudo_label, released_thresholds
from plopkit.thresholds import binned_median, released_median


@pytest.mark.parametrize("case", CASES)
def test_golden_medians(case: str) -> None:
    expected = golden(case, "medians_true")
    n_old = len(expected)
    thresholds = median_thresholds(golden_batches(case), n_old, n_old + 5)
    assert thresholds.kind == "median"
    close(thresholds.values, torch.cat([expected, torch.zeros(5)]))


@pytest.mark.parametrize("case", CASES)
def test_half_of_each_class_is_confident_at_a_true_median(case: str) -> None:
    logits, target = golden(case, "logits_old").flatten(0, 1), golden(case, "labels").flatten(0, 1)
    n_old = logits.shape[1]
    found = pseudo_label(logits, target, n_old, median_thresholds([(logits, target)], n_old, n_old + 1))
    predicted = logits.argmax(dim=1)
    for channel in range(n_old):
        pixels = found.confident[(target == 0) & (predicted == channel)]
        assert pixels.sum().item() == pytest.approx(len(pixels) / 2, abs=1)


def spread(counts: dict[int, int]) -> list[int]:
    return [counts.get(i, 0) for i in range(100)]


@settings(deadline=None, max_examples=60)
@given(st.dictionaries(st.integers(0, 99), st.integers(1, 3000), max_size=100).map(spread))
@example(spread({}))
@example(spread({3: 2}))  # half meets running at an empty bin: NaN
@example(spread(dict.fromkeys(range(40), 400)))  # never stops, half beyond 4950: +inf
@example(spread({5: 3}))  # never stops, half below 4950: −inf
@example(spread({28: 30, 60: 830}))  # stops at i = 29, which reads the count of bin 28
@example(spread({99: 4851 * 2 + 7}))
@example(spread({0: 2**26 + 3}))
def test_the_released_median(counts: list[int]) -> None:
    found = released_median(torch.tensor([counts, spread({0: 4})])).values
    torch.testing.assert_close(
        found, torch.tensor([plain_released_median(counts), 0.005]), rtol=1e-5, atol=1e-7, equal_nan=True
    )


def test_every_pixel_is_confident_if_the_released_median_is_infinite() -> None:
    """18,000 pixels of one class, even over the 45 bins that two channels can reach: half is beyond 4950."""
    logits, target = (
        two_channels(torch.linspace(0.001, 0.985, 18_000)),
        torch.zeros(1, 1, 18_000, dtype=torch.int64),
    )
    thresholds = released_thresholds([(logits, target)], 2, 3)
    assert thresholds.values.tolist() == pytest.approx([math.inf, 0.001, 0.001])
    found = pseudo_label(logits, target, 2, thresholds)
    assert found.confident.all()
    assert found.factor.item() == pytest.approx(1)
    found = pseudo_label(logits, target, 2, median_thresholds([(logits, target)], 2, 3))
    assert found.factor.item() == pytest.approx(0.5, abs=0.001)


def test_no_pixel_is_confident_if_the_released_median_is_nan() -> None:
    logits, target = two_channels(torch.tensor([0.9, 0.9])), torch.zeros(1, 1, 2, dtype=torch.int64)
    thresholds = released_thresholds([(logits, target)], 2, 3)
    assert thresholds.values[0].isnan()
    assert not pseudo_label(logits, target, 2, thresholds).confident.any()


def test_a_class_that_is_never_predicted_has_the_floor() -> None:
    logits, target = torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    logits[:, 0, 0] = 1
    logits[:, 2, 1:] = 1
    found = released_thresholds([(logits, target)], 3, 5, floor=0.002).values
    assert found[[1, 3, 4]].tolist() == pytest.approx([0.002] * 3)
    found = median_thresholds([(logits, target)], 3, 5).values
    assert found[[1, 3, 4]].tolist() == [0, 0, 0]
    assert (found[[0, 2]] > 0.5).all()


@pytest.mark.parametrize("compute", [released_thresholds, median_thresholds], ids=lambda f: f.__name__)
def test_batches_are_read_once_and_may_be_split(compute: Callable[..., Thresholds]) -> None:
    logits, target = draw_batch(0, 4, 6, (6, 8, 8))
    whole = compute([(logits, target)], 4, 6).values
    assert torch.equal(compute(zip(logits.split(1), target.split(1), strict=True), 4, 6).values, whole)
    batches = iter([(logits[:3], target[:3]), (logits[3:], target[3:])])
    assert torch.equal(compute(batches, 4, 6).values, whole)
    assert next(batches, None) is None


@pytest.mark.parametrize("compute", [released_thresholds, median_thresholds], ids=lambda f: f.__name__)
def test_counts_can_be_summed_over_processes(compute: Callable[..., Thresholds]) -> None:
    logits, target = draw_batch(0, 4, 6, (6, 8, 8))
    parts = [(logits[:2], target[:2]), (logits[2:], target[2:])]
    counted: list[Tensor] = []

    def record(counts: Tensor) -> Tensor:
        counted.append(counts)
        return counts

    compute(parts[:1], 4, 6, reduce=record)
    assert counted[0].shape[0] == 4
    assert counted[0].dtype == torch.int64
    assert counted[0].sum() == (target[:2] == 0).sum()
    both = compute(parts[1:], 4, 6, reduce=lambda counts: counts + counted[0])
    assert torch.equal(both.values, compute(parts, 4, 6).values)
    assert not torch.equal(both.values, compute(parts[1:], 4, 6).values)


@pytest.mark.parametrize("compute", [released_thresholds, median_thresholds], ids=lambda f: f.__name__)
def test_only_background_pixels_count(compute: Callable[..., Thresholds]) -> None:
    logits, target = draw_batch(0, 4, 6, (2, 8, 8))
    target[:, 0] = 2  # an old class, where the masks still hold it
    changed = torch.where((target == 0)[:, None], logits, 7 * logits.flip(1))
    assert not torch.equal(changed, logits)
    assert torch.equal(compute([(changed, target)], 4, 6).values, compute([(logits, target)], 4, 6).values)


@pytest.mark.parametrize("channel", [0, 2])
def test_the_largest_uncertainty_is_in_the_last_bin_of_its_class(channel: int) -> None:
    logits, target = torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    logits[:, channel] = 1e-6
    assert (pseudo.uncertainty(logits) == 1).all()
    expected = torch.zeros(4)
    expected[channel] = 1
    close(median_thresholds([(logits, target)], 3, 4).values, expected)


def test_floor_and_ceiling() -> None:
    batch = draw_batch(0, 4, 6, (2, 8, 8))
    unclamped = median_thresholds([batch], 4, 6).values
    low, high = unclamped[:4].sort().values[[1, 2]].tolist()
    assert torch.equal(median_thresholds([batch], 4, 6, floor=low, ceiling=high).values, unclamped.clamp(low, high))
    assert torch.equal(median_thresholds([batch], 4, 6, ceiling=0.001).values, unclamped.clamp(max=0.001))
    assert released_thresholds([batch], 4, 6, floor=0.5).values.min() == 0.5


def test_a_median_is_within_a_bin_of_many_equal_values() -> None:
    logits = two_channels(torch.tensor([0.25] * 5 + [0.75] * 4 + [1.0] * 2))
    measured = pseudo.uncertainty(logits).flatten()
    found = median_thresholds([(logits, torch.zeros(1, 1, 11, dtype=torch.int64))], 2, 3)
    assert found.values[0].item() == pytest.approx(measured[5].item(), abs=1e-5)


def test_a_median_of_billions_of_pixels_is_exact() -> None:
    counts = torch.zeros(1, 2**17, dtype=torch.int64)
    counts[0, [100, 200, 300]] = torch.tensor([2**31, 3, 2**31 + 2])  # the median is the third of the three
    close(binned_median(counts), torch.tensor([(200 + 2.5 / 3) / 2**17]), 1e-7)


def test_thresholds_have_their_own_measure_of_uncertainty() -> None:
    logits, values = draw_batch(0, 4, 6, (1, 3, 3))[0], torch.arange(6.0)
    median, released = Thresholds(values, "median"), Thresholds(values, "released")
    assert torch.equal(median.uncertainty(logits), pseudo.uncertainty(logits))
    close(released.uncertainty(logits), pseudo.uncertainty(logits) / 4 / math.log(6))
    assert torch.equal(median.of(torch.tensor([[5, 0], [2, 2]])), torch.tensor([[5.0, 0], [2, 2]]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        median.kind = "released"  # type: ignore[misc]
