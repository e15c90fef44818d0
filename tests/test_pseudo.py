"""PseudoLabels-labels against the released code's numbers (to 1e-5 absolute), plain loops, and identities."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

from plopkit import pseudo
from plopkit.pseudo import PseudoLabels, Thresholds, median_thresholds, pseudo_label, released_thresholds
from plopkit.thresholds import binned_median, released_median

CASES = ("confident", "hesitant", "mixed")
FOLDER = Path(__file__).parent / "golden"
GOLDEN = np.load(FOLDER / "pseudo.npz")
LOSSES = np.load(FOLDER / "losses.npz")


def golden(case: str, name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[f"{case}/{name}"])


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0, equal_nan=True)


def golden_batches(case: str) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(golden(case, "logits_old"), golden(case, "labels"), strict=True)


def draw_batch(seed: int, n_old: int, n_seen: int, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    b, h, w = shape
    logits = torch.randn(b, n_old, h, w, generator=generator) * 4 * torch.rand(b, 1, h, w, generator=generator)
    target = torch.randint(n_old, n_seen, shape, generator=generator)
    kind = torch.rand(shape, generator=generator)
    target[kind < 0.7] = 0
    target[kind < 0.1] = 255
    return logits, target


def plain_entropy(logits: list[float]) -> float:
    powers = [math.exp(v) for v in logits]
    return -sum(p / sum(powers) * math.log(p / sum(powers)) for p in powers)


def plain_median(logits: Tensor, target: Tensor, channel: int) -> float:
    found = [
        plain_entropy(logits[i, :, y, x].tolist()) / math.log(logits.shape[1])
        for i, y, x in (target == 0).nonzero().tolist()
        if logits[i, :, y, x].argmax() == channel
    ]
    return sorted(found)[(len(found) - 1) // 2] if found else 0.0


def plain_walk(counts: list[int]) -> float:
    """The released walk over one class's 100 counts, as described: `running` grows by the bin's index."""
    total, running = sum(counts), 0
    if total == 0:
        return 0.0
    for i in range(100):
        count = counts[{29: 28, 57: 56, 58: 57}.get(i, i)]
        if running <= total / 2 <= running + count:
            break
        running += i
    rest = total / 2 - running
    if count == 0:
        return math.nan if rest == 0 else math.copysign(math.inf, rest)
    return i / 100 + rest / count / 100


def plain_pseudo_label(logits: Tensor, target: Tensor, n_old: int, thresholds: Thresholds) -> tuple[Tensor, Tensor]:
    measured, out, factors = thresholds.uncertainty(logits), target.clone(), []
    for i in range(len(target)):
        sure = background = 0
        for y in range(target.shape[1]):
            for x in range(target.shape[2]):
                if target[i, y, x] >= n_old:
                    continue
                channel = int(logits[i, :, y, x].argmax())
                is_sure = bool(measured[i, y, x] < thresholds.values[channel])
                background, sure = background + 1, sure + is_sure
                out[i, y, x] = channel if is_sure else 255
        factors.append(sure / (background + 1e-6))
    return out, torch.tensor(factors)


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


@pytest.mark.parametrize("case", CASES)
def test_golden_medians(case: str) -> None:
    expected = golden(case, "medians_true")
    n_old = len(expected)
    thresholds = median_thresholds(golden_batches(case), n_old, n_old + 5)
    assert thresholds.kind == "median"
    close(thresholds.values, torch.cat([expected, torch.zeros(5)]))


@pytest.mark.parametrize("case", CASES)
def test_a_true_median_leaves_about_half_of_each_class_sure(case: str) -> None:
    logits, target = golden(case, "logits_old").flatten(0, 1), golden(case, "labels").flatten(0, 1)
    n_old = logits.shape[1]
    found = pseudo_label(logits, target, n_old, median_thresholds([(logits, target)], n_old, n_old + 1))
    predicted = logits.argmax(dim=1)
    for channel in range(n_old):
        pixels = found.sure[(target == 0) & (predicted == channel)]
        assert pixels.sum().item() == pytest.approx(len(pixels) / 2, abs=1)


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
def test_the_released_walk(counts: list[int]) -> None:
    found = released_median(torch.tensor([counts, spread({0: 4})])).values
    torch.testing.assert_close(found, torch.tensor([plain_walk(counts), 0.005]), rtol=1e-5, atol=1e-7, equal_nan=True)


def two_channels(wanted: Tensor) -> Tensor:
    """Logits (1, 2, 1, N), channel 0 the larger, whose H / ln 2 is nearest to the values wanted."""
    gap = torch.linspace(12, 1e-3, 200_000)
    reached = pseudo.uncertainty(torch.stack([gap, -gap]).view(1, 2, 1, -1)).flatten()
    gap = gap[torch.searchsorted(reached, wanted).clamp(max=len(gap) - 1)]
    return torch.stack([gap, -gap]).view(1, 2, 1, -1)


def test_where_the_released_walk_never_stops_every_pixel_is_sure() -> None:
    """18,000 pixels of one class, even over the 45 bins that two channels can reach: half is beyond 4950."""
    logits, target = (
        two_channels(torch.linspace(0.001, 0.985, 18_000)),
        torch.zeros(1, 1, 18_000, dtype=torch.int64),
    )
    thresholds = released_thresholds([(logits, target)], 2, 3)
    assert thresholds.values.tolist() == pytest.approx([math.inf, 0.001, 0.001])
    found = pseudo_label(logits, target, 2, thresholds)
    assert found.sure.all()
    assert found.factor.item() == pytest.approx(1)
    found = pseudo_label(logits, target, 2, median_thresholds([(logits, target)], 2, 3))
    assert found.factor.item() == pytest.approx(0.5, abs=0.001)


def test_where_the_released_walk_gives_nan_no_pixel_is_sure() -> None:
    logits, target = two_channels(torch.tensor([0.9, 0.9])), torch.zeros(1, 1, 2, dtype=torch.int64)
    thresholds = released_thresholds([(logits, target)], 2, 3)
    assert thresholds.values[0].isnan()
    assert not pseudo_label(logits, target, 2, thresholds).sure.any()


def test_a_class_never_predicted_has_the_floor() -> None:
    logits, target = torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    logits[:, 0, 0] = 1
    logits[:, 2, 1:] = 1
    found = released_thresholds([(logits, target)], 3, 5, floor=0.002).values
    assert found[[1, 3, 4]].tolist() == pytest.approx([0.002] * 3)
    found = median_thresholds([(logits, target)], 3, 5).values
    assert found[[1, 3, 4]].tolist() == [0, 0, 0]
    assert (found[[0, 2]] > 0.5).all()


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


@pytest.mark.parametrize("find", [released_thresholds, median_thresholds], ids=lambda f: f.__name__)
def test_batches_are_read_once_and_their_split_does_not_matter(find: Callable[..., Thresholds]) -> None:
    logits, target = draw_batch(0, 4, 6, (6, 8, 8))
    whole = find([(logits, target)], 4, 6).values
    assert torch.equal(find(zip(logits.split(1), target.split(1), strict=True), 4, 6).values, whole)
    unread = iter([(logits[:3], target[:3]), (logits[3:], target[3:])])
    assert torch.equal(find(unread, 4, 6).values, whole)
    assert next(unread, None) is None


@pytest.mark.parametrize("find", [released_thresholds, median_thresholds], ids=lambda f: f.__name__)
def test_counts_may_be_summed_over_processes(find: Callable[..., Thresholds]) -> None:
    logits, target = draw_batch(0, 4, 6, (6, 8, 8))
    parts = [(logits[:2], target[:2]), (logits[2:], target[2:])]
    seen: list[Tensor] = []

    def keep(counts: Tensor) -> Tensor:
        seen.append(counts)
        return counts

    find(parts[:1], 4, 6, reduce=keep)
    assert seen[0].shape[0] == 4
    assert seen[0].dtype == torch.int64
    assert seen[0].sum() == (target[:2] == 0).sum()
    both = find(parts[1:], 4, 6, reduce=lambda counts: counts + seen[0])
    assert torch.equal(both.values, find(parts, 4, 6).values)
    assert not torch.equal(both.values, find(parts[1:], 4, 6).values)


@pytest.mark.parametrize("find", [released_thresholds, median_thresholds], ids=lambda f: f.__name__)
def test_only_background_pixels_count(find: Callable[..., Thresholds]) -> None:
    logits, target = draw_batch(0, 4, 6, (2, 8, 8))
    target[:, 0] = 2  # an old class, where the masks still hold it
    changed = torch.where((target == 0)[:, None], logits, 7 * logits.flip(1))
    assert not torch.equal(changed, logits)
    assert torch.equal(find([(changed, target)], 4, 6).values, find([(logits, target)], 4, 6).values)


@pytest.mark.parametrize("channel", [0, 2])
def test_the_largest_uncertainty_falls_in_the_last_bin_of_its_own_class(channel: int) -> None:
    logits, target = torch.zeros(1, 3, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    logits[:, channel] = 1e-6
    assert (pseudo.uncertainty(logits) == 1).all()
    expected = torch.zeros(4)
    expected[channel] = 1
    close(median_thresholds([(logits, target)], 3, 4).values, expected)


def test_a_pixel_at_its_threshold_is_not_sure() -> None:
    logits, target = draw_batch(0, 4, 6, (1, 1, 1))
    limit = pseudo.uncertainty(logits).item()
    assert not pseudo_label(logits, target, 4, Thresholds(torch.full((6,), limit), "median")).sure
    assert pseudo_label(logits, target, 4, Thresholds(torch.full((6,), 1.01 * limit), "median")).sure


def test_floor_and_ceiling() -> None:
    batch = draw_batch(0, 4, 6, (2, 8, 8))
    free = median_thresholds([batch], 4, 6).values
    low, high = free[:4].sort().values[[1, 2]].tolist()
    assert torch.equal(median_thresholds([batch], 4, 6, floor=low, ceiling=high).values, free.clamp(low, high))
    assert torch.equal(median_thresholds([batch], 4, 6, ceiling=0.001).values, free.clamp(max=0.001))
    assert released_thresholds([batch], 4, 6, floor=0.5).values.min() == 0.5


def test_a_median_is_found_inside_a_bin_of_many_equal_values() -> None:
    logits = two_channels(torch.tensor([0.25] * 5 + [0.75] * 4 + [1.0] * 2))
    measured = pseudo.uncertainty(logits).flatten()
    found = median_thresholds([(logits, torch.zeros(1, 1, 11, dtype=torch.int64))], 2, 3)
    assert found.values[0].item() == pytest.approx(measured[5].item(), abs=1e-5)


def test_a_median_over_billions_of_pixels_keeps_its_digits() -> None:
    counts = torch.zeros(1, 2**17, dtype=torch.int64)
    counts[0, [100, 200, 300]] = torch.tensor([2**31, 3, 2**31 + 2])  # the median is the third of the three
    close(binned_median(counts), torch.tensor([(200 + 2.5 / 3) / 2**17]), 1e-7)


def test_new_and_ignored_targets_stay() -> None:
    logits, target = draw_batch(1, 4, 6, (2, 8, 8))
    target[0, 0] = torch.tensor([0, 1, 2, 3, 4, 5, 255, 0])
    found = pseudo_label(logits, target.to(torch.uint8), 4, Thresholds(torch.full((6,), math.inf), "median"))
    asked = target < 4
    assert torch.equal(found.target[~asked], target[~asked])
    assert torch.equal(found.target[asked], logits.argmax(dim=1)[asked])
    assert found.target.dtype == torch.int64
    assert found.sure.all()
    none = pseudo_label(logits, target, 4, Thresholds(torch.zeros(6), "median"))
    assert (none.target[asked] == 255).all()
    assert torch.equal(none.factor, torch.zeros(2))
    assert isinstance(none, PseudoLabels)


def test_an_image_without_background_has_factor_0() -> None:
    logits = draw_batch(0, 3, 5, (2, 4, 4))[0]
    found = pseudo_label(logits, torch.full((2, 4, 4), 4), 3, Thresholds(torch.ones(5), "median"))
    assert torch.equal(found.factor, torch.zeros(2))


def test_thresholds_know_their_measure_and_their_classes() -> None:
    logits, values = draw_batch(0, 4, 6, (1, 3, 3))[0], torch.arange(6.0)
    median, released = Thresholds(values, "median"), Thresholds(values, "released")
    assert torch.equal(median.uncertainty(logits), pseudo.uncertainty(logits))
    close(released.uncertainty(logits), pseudo.uncertainty(logits) / 4 / math.log(6))
    assert torch.equal(median.of(torch.tensor([[5, 0], [2, 2]])), torch.tensor([[5.0, 0], [2, 2]]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        median.kind = "released"  # type: ignore[misc]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    logits, target = draw_batch(0, 4, 6, (2, 8, 8))
    logits = (20 * logits).to(dtype)
    exact = logits.float()
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(pseudo.uncertainty(logits), pseudo.uncertainty(exact))
        assert torch.equal(pseudo.released_uncertainty(logits), pseudo.released_uncertainty(exact))
        for find in (released_thresholds, median_thresholds):
            found, expected = find([(logits, target)], 4, 6), find([(exact, target)], 4, 6)
            assert torch.equal(found.values, expected.values)
            assert found.values.dtype == torch.float32
            for ours, wanted in zip(
                pseudo_label(logits, target, 4, found), pseudo_label(exact, target, 4, found), strict=True
            ):
                assert torch.equal(ours, wanted)
                assert ours.isfinite().all()


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
    for find in (released_thresholds, median_thresholds):
        with pytest.raises(ValueError, match="at least one batch"):
            find([], 4, 6)
        with pytest.raises(ValueError, match="logits have 4 channels, but n_old is 3"):
            find([(logits, target)], 3, 6)
        with pytest.raises(ValueError, match="n_seen is 3, less than n_old, 4"):
            find([(logits, target)], 4, 3)
        with pytest.raises(ValueError, match="NaN or infinity"):
            find([(logits.where(target[:, None] > 0, math.nan), target)], 4, 6)
