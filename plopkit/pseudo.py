"""Pseudo-labels by uncertainty (PLOP, Douillard et al., CVPR 2021, section 3.3).

The teacher labels the background where it is sure: where its uncertainty is below a threshold of the class it
predicts. The paper's threshold is the median of the normalised entropy; the released code computes something
else. Both are here: `median_thresholds` and `released_thresholds`. Half precision is computed in float32.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from plopkit.scenario import IGNORE
from plopkit.support.precision import at_least_float32
from plopkit.thresholds import RELEASED_BINS, RELEASED_FLOOR, binned_median, released_median

MEDIAN_BINS = 2**17  # a bin is 8e-6 wide; 1 MB of counts a class


def uncertainty(logits: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W"]:
    """Entropy H / ln C of the softmax, in [0, 1]. Fewer than two channels raise a ValueError."""
    return (torch.special.entr(_probabilities(logits)).sum(dim=1) / math.log(logits.shape[1])).clamp(0, 1)


def released_uncertainty(logits: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W"]:
    """The released code's entropy, −(1 / ln C) · mean of p ln(p + 1e-8).

    The mean divides by C once more, so it reaches 1 / C only. Fewer than two channels raise a ValueError.
    """
    p = _probabilities(logits)
    return -(p * (p + 1e-8).log()).mean(dim=1) / math.log(logits.shape[1])


@dataclass(frozen=True, eq=False)
class Thresholds:
    """One limit per channel seen, and the measure that it limits."""

    values: Float[Tensor, " n_seen"]
    kind: Literal["released", "median"] = "released"

    def uncertainty(self, old_logits: Float[Tensor, "B C_old H W"]) -> Float[Tensor, "B H W"]:
        """The map that is compared: H / ln C_old, or, if released, the released entropy / ln C_seen."""
        if self.kind == "median":
            return uncertainty(old_logits)
        return released_uncertainty(old_logits) / math.log(len(self.values))

    def of(self, classes: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The limit of each of these channels."""
        return self.values.to(classes.device)[classes]


class Pseudo(NamedTuple):
    """What the teacher adds to a batch of targets."""

    target: Int[Tensor, "B H W"]
    """new channels as they were; below n_old the teacher's class where it is sure, else 255"""
    uncertainty: Float[Tensor, "B H W"]
    """the map that was compared with the thresholds"""
    sure: Bool[Tensor, "B H W"]
    """uncertainty < threshold of the predicted class, on every pixel"""
    factor: Float[Tensor, " B"]
    """adaptive factor: sure background pixels / (background pixels + 1e-6)"""


def released_thresholds(
    batches: Iterable[tuple[Tensor, Tensor]],
    n_old: int,
    n_seen: int,
    floor: float = RELEASED_FLOOR,
    reduce: Callable[[Tensor], Tensor] | None = None,
) -> Thresholds:
    """The thresholds of the released code: max(its median, floor), with its arithmetic and slip (`released_median`).

    `batches` gives pairs of teacher's logits (B, n_old, H, W) and targets (B, H, W) and is read once.
    `reduce` gets the histogram (n_old, 100) and may sum it over processes. A class never predicted, and each
    new one, has `floor`. No batch, logits that are not finite or have not `n_old` channels, and n_seen <
    n_old raise a ValueError.
    """
    counts = released_histogram(batches, n_old, n_seen, reduce)
    values = _padded(released_median(counts).values, n_seen).clamp(min=floor)
    return Thresholds(values.to(counts.device), "released")


def released_histogram(
    batches: Iterable[tuple[Tensor, Tensor]],
    n_old: int,
    n_seen: int,
    reduce: Callable[[Tensor], Tensor] | None = None,
) -> Integer[Tensor, "{n_old} 100"]:
    """What `released_thresholds` walks over: background pixels (target 0) by predicted class and by 100 bins of the
    released uncertainty / ln n_seen over [0, 1]. Arguments and errors are those of `released_thresholds`."""
    _check_counts(n_old, n_seen)
    return _histogram(
        batches, n_old, RELEASED_BINS, lambda logits: released_uncertainty(logits) / math.log(n_seen), reduce
    )


def median_thresholds(
    batches: Iterable[tuple[Tensor, Tensor]],
    n_old: int,
    n_seen: int,
    floor: float = 0.0,
    ceiling: float = 1.0,
    reduce: Callable[[Tensor], Tensor] | None = None,
) -> Thresholds:
    """The paper's thresholds: the median uncertainty of the background pixels, by predicted class.

    Arguments and errors are those of `released_thresholds`; the histogram is (n_old, 2**17), so medians are
    true to 1e-5. A class never predicted, and each new one, has 0. The values are then held between `floor`
    and `ceiling`: the paper names 0.001 a maximum, the released code uses it as a minimum.
    """
    _check_counts(n_old, n_seen)
    if floor > ceiling:
        raise ValueError(f"the floor {floor} of the thresholds exceeds their ceiling {ceiling}")
    counts = median_histogram(batches, n_old, reduce)
    return Thresholds(_padded(binned_median(counts), n_seen).clamp(floor, ceiling).to(counts.device), "median")


def median_histogram(
    batches: Iterable[tuple[Tensor, Tensor]], n_old: int, reduce: Callable[[Tensor], Tensor] | None = None
) -> Integer[Tensor, "{n_old} bins"]:
    """What `median_thresholds` looks into: background pixels by predicted class and by 2**17 bins of `uncertainty`."""
    return _histogram(batches, n_old, MEDIAN_BINS, uncertainty, reduce)


@torch.no_grad()
def pseudo_label(
    old_logits: Float[Tensor, "B C_old H W"],
    target: Integer[Tensor, "B H W"],
    n_old: int,
    thresholds: Thresholds,
) -> Pseudo:
    """Let the teacher label the pixels whose target is below `n_old`, where it is sure.

    In training, each image's cross-entropy is multiplied by `factor`. Logits that have not `n_old` channels,
    or more than there are thresholds, raise a ValueError.
    """
    _check_channels(old_logits, n_old)
    _check_counts(n_old, len(thresholds.values))
    predicted = old_logits.argmax(dim=1)
    measured = thresholds.uncertainty(old_logits)
    sure = measured < thresholds.of(predicted)
    background = target < n_old
    labelled = torch.where(background, torch.where(sure, predicted, IGNORE), target)
    n_sure, n_background = (mask.sum(dim=(1, 2)).float() for mask in (sure & background, background))
    return Pseudo(labelled, measured, sure, n_sure / (n_background + 1e-6))


def _probabilities(logits: Tensor) -> Tensor:
    if logits.shape[1] < 2:
        raise ValueError(f"uncertainty needs at least two channels, not {logits.shape[1]}")
    return at_least_float32(logits).softmax(dim=1)


def _check_channels(old_logits: Tensor, n_old: int) -> None:
    if old_logits.shape[1] != n_old:
        raise ValueError(f"the teacher's logits have {old_logits.shape[1]} channels, but n_old is {n_old}")


def _check_counts(n_old: int, n_seen: int) -> None:
    if n_seen < n_old:
        raise ValueError(f"n_seen is {n_seen}, less than n_old, {n_old}: the channels seen include the old ones")


@torch.no_grad()
def _histogram(
    batches: Iterable[tuple[Tensor, Tensor]],
    n_old: int,
    bins: int,
    measure: Callable[[Tensor], Tensor],
    reduce: Callable[[Tensor], Tensor] | None,
) -> Tensor:
    """Count background pixels (target 0) by predicted class and bin of the measure: (n_old, bins)."""
    counts: Tensor | None = None
    for old_logits, target in batches:
        _check_channels(old_logits, n_old)
        background = target == 0
        measured = measure(old_logits)[background]
        if not torch.isfinite(measured).all():
            raise ValueError("the teacher's logits hold NaN or infinity, so no threshold can be found")
        cell = old_logits.argmax(dim=1)[background] * bins + (measured * bins).long().clamp(max=bins - 1)
        counted = torch.bincount(cell, minlength=n_old * bins)
        counts = counted if counts is None else counts.add_(counted)
    if counts is None:
        raise ValueError("thresholds need at least one batch of teacher's logits and targets")
    counts = counts.view(n_old, bins)
    return counts if reduce is None else reduce(counts)


def _padded(values: Tensor, n_seen: int) -> Tensor:
    return torch.cat([values, values.new_zeros(n_seen - len(values))])
