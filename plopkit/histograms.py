"""Histograms of the teacher's uncertainty on background pixels, by the class that it predicts.

They are what thresholds are computed from, in one pass over the batches.
"""

import math
from collections.abc import Callable, Iterable

import torch
from jaxtyping import Integer
from torch import Tensor

from plopkit.entropy import released_uncertainty, uncertainty
from plopkit.support.prediction import predicted_channel
from plopkit.thresholds import RELEASED_BINS

MEDIAN_BINS = 2**17
"""Of each class, with up to 256 classes: a bin is 8e-6 wide."""
MEDIAN_CELLS = 2**25
"""Of all classes together: 256 MB of counts."""

Batches = Iterable[tuple[Tensor, Tensor]]
"""The teacher's logits (B, n_old, H, W) and targets (B, H, W); read once."""
Reduce = Callable[[Tensor], Tensor]
"""Sums a histogram over processes."""


def released_histogram(
    batches: Batches, n_old: int, n_seen: int, reduce: Reduce | None = None
) -> Integer[Tensor, "{n_old} 100"]:
    """Background pixels (target 0) by predicted class and by 100 bins of the released uncertainty / ln n_seen over
    [0, 1].

    Args:
        batches: the teacher's logits and targets.
        n_old: channels of the teacher.
        n_seen: channels of the net.
        reduce: sums the histogram over processes.

    Raises:
        ValueError: without a batch; where logits are not finite or do not have n_old channels; where n_seen < n_old.
    """
    check_counts(n_old, n_seen)
    return _histogram(
        batches, n_old, RELEASED_BINS, lambda logits: released_uncertainty(logits) / math.log(n_seen), reduce
    )


def median_histogram(batches: Batches, n_old: int, reduce: Reduce | None = None) -> Integer[Tensor, "{n_old} bins"]:
    """Background pixels by predicted class and by `median_bins` bins of `uncertainty` over [0, 1].

    Arguments and errors are those of `released_histogram`.
    """
    return _histogram(batches, n_old, median_bins(n_old), uncertainty, reduce)


def median_bins(n_old: int) -> int:
    """Bins of a class: a power of two, 2**17 or what memory allows for n_old of them (1,000: 2**15, of 3e-5).

    Example:
        >>> median_bins(151) == MEDIAN_BINS, median_bins(1000)
        (True, 32768)
    """
    return min(MEDIAN_BINS, MEDIAN_CELLS >> (n_old - 1).bit_length())


def check_channels(old_logits: Tensor, n_old: int) -> None:
    """ValueError where the teacher's logits do not have n_old channels."""
    if old_logits.shape[1] != n_old:
        raise ValueError(f"the teacher's logits have {old_logits.shape[1]} channels, but n_old is {n_old}")


def check_counts(n_old: int, n_seen: int) -> None:
    """ValueError where there are fewer channels than before."""
    if n_seen < n_old:
        raise ValueError(f"n_seen is {n_seen}, less than n_old, {n_old}: the channels seen include the old ones")


@torch.no_grad()
def _histogram(
    batches: Batches, n_old: int, bins: int, measure: Callable[[Tensor], Tensor], reduce: Reduce | None
) -> Tensor:
    """Count background pixels (target 0) by predicted class and bin of the measure: (n_old, bins)."""
    counts: Tensor | None = None
    for old_logits, target in batches:
        check_channels(old_logits, n_old)
        background, measured = target == 0, measure(old_logits)
        if not (measured.isfinite() | ~background).all():
            raise ValueError("the teacher's logits hold NaN or infinity, so no threshold can be computed")
        if counts is None:
            counts = torch.zeros(n_old * bins + 1, dtype=torch.int64, device=old_logits.device)
        cell = predicted_channel(old_logits) * bins + (measured * bins).long().clamp(max=bins - 1)
        cell = torch.where(background, cell, n_old * bins).flatten()  # the last cell takes all other pixels
        counts.scatter_add_(0, cell, counts.new_ones(1).expand(len(cell)))
    if counts is None:
        raise ValueError("thresholds need at least one batch of the teacher's logits and targets")
    counts = counts[:-1].view(n_old, bins)
    return counts if reduce is None else reduce(counts)
