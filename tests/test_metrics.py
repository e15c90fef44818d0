"""Metrics against plain loops: the confusion matrix, IoU and accuracy, means over groups, changes over the steps."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from plopkit.metrics import (
    accuracy,
    backward_transfer,
    confusion,
    forgetting,
    group_means,
    hiou,
    iou,
    pixel_accuracy,
)
from plopkit.scenario import IGNORE

NAN = float("nan")
DKD = Path(__file__).parent / "golden" / "later" / "dkd.npz"


def plain_confusion(prediction: list[int], target: list[int], n: int) -> list[list[int]]:
    counts = [[0] * n for _ in range(n)]
    for predicted, true in zip(prediction, target, strict=True):
        if true != IGNORE:
            counts[true][predicted] += 1
    return counts


def plain_iou(prediction: list[int], target: list[int], channel: int) -> float:
    """100 x intersection over union, from sets of pixels; NaN where no pixel of the target has the class."""
    true = {i for i, t in enumerate(target) if t == channel}
    predicted = {i for i, p in enumerate(prediction) if p == channel and target[i] != IGNORE}
    return 100 * len(true & predicted) / len(true | predicted) if true else NAN


@settings(deadline=None, max_examples=60)
@given(n=st.integers(2, 6), pixels=st.integers(1, 40), seed=st.integers(0, 999))
def test_counts_iou_and_accuracy_equal_plain_loops(n: int, pixels: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target = rng.choice([*range(rng.integers(1, n + 1)), IGNORE], pixels)  # some classes never occur
    prediction = np.where(rng.random(pixels) < 0.5, target % n, rng.integers(0, n, pixels))
    counts = confusion(torch.from_numpy(prediction), torch.from_numpy(target), n)
    assert counts.dtype == torch.int64
    assert counts.tolist() == plain_confusion(prediction.tolist(), target.tolist(), n)
    expected = [plain_iou(prediction.tolist(), target.tolist(), channel) for channel in range(n)]
    np.testing.assert_allclose(iou(counts.numpy()), expected)
    accuracies = [
        100 * float(np.mean(prediction[target == channel] == channel)) if (target == channel).any() else NAN
        for channel in range(n)
    ]
    np.testing.assert_allclose(accuracy(counts.numpy()), accuracies)


def test_batches_of_any_shape_and_type_add_up() -> None:
    generator = torch.Generator().manual_seed(0)
    prediction, target = torch.randint(0, 4, (2, 3, 5, 6), generator=generator)
    whole = confusion(prediction, target.to(torch.uint8), 4)
    parts = [confusion(p.to(torch.int32), t, 4) for p, t in zip(prediction, target, strict=True)]
    assert torch.equal(whole, torch.stack(parts).sum(0))
    assert whole.sum() == prediction.numel()
    assert confusion(prediction, torch.full_like(target, IGNORE), 4).sum() == 0


def test_counts_beyond_float32_are_exact() -> None:
    counts = np.zeros((2, 2), np.int64)
    counts[0, 0], counts[1, 1], counts[1, 0] = 2**40 + 1, 3, 1
    assert accuracy(counts).tolist() == [100, 75]
    assert iou(counts)[1] == 75


def test_a_class_without_pixels_is_nan_even_where_it_is_predicted() -> None:
    counts = np.array([[3, 1, 0], [0, 0, 0], [0, 0, 2]])
    np.testing.assert_array_equal(iou(counts), [75, NAN, 100])
    np.testing.assert_array_equal(accuracy(counts), [75, NAN, 100])
    assert np.isnan(iou(np.zeros((2, 2)))).all()


def test_group_means_by_hand() -> None:
    means = group_means([90, 50, 10, 40, 20], 3)
    assert means == {"old": 50, "new": 30, "all": 42, "old_nobg": 30, "all_nobg": 30}


def test_a_class_without_pixels_is_in_no_mean() -> None:
    means = group_means([90, NAN, 10, NAN], 3)
    assert {name: value for name, value in means.items() if not math.isnan(value)} == {
        "old": 50,
        "all": 50,
        "old_nobg": 10,
        "all_nobg": 10,
    }
    assert math.isnan(means["new"])


def test_step_0_has_no_new_classes() -> None:
    means = group_means(np.array([80.0, 60.0]), 2)
    assert (means["old"], means["all"], means["old_nobg"], means["all_nobg"]) == (70, 70, 60, 60)
    assert math.isnan(means["new"])


def plain_forgetting(history: np.ndarray) -> list[float]:
    losses = []
    for channel in range(history.shape[1]):
        known = [v for v in history[:, channel] if not math.isnan(v)]
        losses.append(max(known) - history[-1, channel] if known else NAN)
    return losses


@settings(deadline=None, max_examples=60)
@given(
    history=hnp.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(0, 100)),
    learnt=st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_forgetting_equals_a_loop(history: np.ndarray, learnt: list[int]) -> None:
    for channel, step in enumerate(learnt[: history.shape[1]]):
        history[:step, channel] = NAN  # a step after the last: never learnt
    result = forgetting(history)
    np.testing.assert_allclose(result, plain_forgetting(history))
    assert not (result < 0).any()


def test_forgetting_by_hand() -> None:
    history = np.array([[80, 60, NAN, NAN], [90, 20, 50, NAN], [70, 30, 70, 40]])
    assert forgetting(history).tolist() == [20, 30, 0, 0]


def plain_transfer(history: np.ndarray) -> list[float]:
    gains = []
    for channel in range(history.shape[1]):
        known = [v for v in history[:, channel] if not math.isnan(v)]
        gains.append(history[-1, channel] - known[0] if known else NAN)
    return gains


@settings(deadline=None, max_examples=60)
@given(
    history=hnp.arrays(float, st.tuples(st.integers(1, 4), st.integers(1, 4)), elements=st.floats(0, 100)),
    learnt=st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_backward_transfer_equals_a_loop(history: np.ndarray, learnt: list[int]) -> None:
    for channel, step in enumerate(learnt[: history.shape[1]]):
        history[:step, channel] = NAN
    np.testing.assert_allclose(backward_transfer(history), plain_transfer(history))


def test_backward_transfer_by_hand() -> None:
    history = np.array([[80, 20, NAN, NAN], [90, 60, 50, NAN], [70, 30, 70, 40]])
    assert backward_transfer(history).tolist() == [-10, 10, 20, 0]


@settings(deadline=None, max_examples=60)
@given(pixels=st.integers(1, 40), n=st.integers(2, 6), seed=st.integers(0, 999))
def test_pixel_accuracy_equals_a_plain_loop(pixels: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    target, prediction = rng.choice([*range(n - 1), IGNORE], pixels), rng.integers(0, n, pixels)
    right = [p == t for p, t in zip(prediction.tolist(), target.tolist(), strict=True) if t != IGNORE]
    counts = confusion(torch.from_numpy(prediction), torch.from_numpy(target), n).numpy()
    expected = 100 * sum(right) / len(right) if right else NAN
    np.testing.assert_allclose(pixel_accuracy(accuracy(counts), counts.sum(1)), expected)


def test_hiou_by_hand() -> None:
    assert hiou([90, 30, 30, NAN, 30], 2) == pytest.approx(2 * 60 * 30 / 90)
    assert hiou([0, 0, 0], 2) == 0 == hiou([50, 50, 0], 2)
    assert math.isnan(hiou([50, 50], 2)) and math.isnan(hiou([50, 50, NAN], 2))


def test_hiou_is_that_of_dkd() -> None:
    with np.load(DKD) as golden:
        prediction, labels = (torch.from_numpy(golden[f"metric/{name}"]) for name in ("prediction", "labels"))
        values = iou(confusion(prediction, labels, 6).numpy())
        means = group_means(values, 4)
        np.testing.assert_allclose(values, golden["metric/by_class"], rtol=1e-6)
        found = [means["old"], means["new"], means["all"], hiou(values, 4)]
        np.testing.assert_allclose(
            found, [golden[f"metric/{n}"] for n in ("old", "new", "overall", "harmonic")], rtol=1e-6
        )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64])
@pytest.mark.parametrize(("prediction", "target"), [([0, 5], [0, 2]), ([0, 3], [0, 0]), ([0, 1], [0, 3])])
def test_a_value_outside_the_channels_is_an_error(prediction: list, target: list, dtype: torch.dtype) -> None:
    with pytest.raises(ValueError, match="channels go from 0 to 2 here"):
        confusion(torch.tensor(prediction, dtype=dtype), torch.tensor(target, dtype=dtype), 3)
