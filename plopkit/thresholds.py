"""Medians of histograms: the true one, and what PLOP's released code computes in its place."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from plopkit.support.precision import doubled

RELEASED_BINS = 100
RELEASED_FLOOR = 0.001


def binned_median(counts: Int[Tensor, "n bins"]) -> Float[Tensor, " n"]:
    """The lower median of each row of counts over [0, 1], linear inside its bin; 0 for an empty row."""
    # Some rows at a time, because cumulative sums take as much memory as counts.
    return torch.cat([_binned_median(rows.cpu()) for rows in counts.split(64)])


def _binned_median(counts: Tensor) -> Tensor:
    cumulative = counts.cumsum(dim=1)
    total = cumulative[:, -1:]
    i = torch.searchsorted(cumulative, (total + 1) // 2).clamp(max=counts.shape[1] - 1)
    inside = counts.gather(1, i)
    before = cumulative.gather(1, i) - inside
    median = (i + (doubled(total) / 2 - before) / inside) / counts.shape[1]
    return torch.where(total > 0, median, 0.0).squeeze(1).float()


class ReleasedMedian(NamedTuple):
    """How the released code searches for the median of n histograms: what it reads in each bin, and where it ends."""

    counts: Int[Tensor, "n 100"]
    """the count it reads for each bin: that of bin int(i / 100 * 100), as released; int(0.29 * 100) is 28"""
    total_before: Int[Tensor, " 100"]
    """its running total before each bin, 0, 0, 1, 3, 6, …: the sum of the bins' indices, not of their counts"""
    half: Float[Tensor, " n"]
    """half of each histogram's pixels"""
    bin: Int[Tensor, " n"]
    """the bin in which the search ends: 99 where its condition never holds"""
    found: Bool[Tensor, " n"]
    """whether total_before <= half <= total_before + count held in some bin"""
    values: Float[Tensor, " n"]
    """the result"""

    @property
    def looked(self) -> Tensor:
        """`counts`, by its name in plopkit 0.1."""
        return self.counts

    @property
    def running(self) -> Tensor:
        """`total_before`, by its name in plopkit 0.1."""
        return self.total_before

    @property
    def ends(self) -> Tensor:
        """`bin`, by its name in plopkit 0.1."""
        return self.bin

    @property
    def stopped(self) -> Tensor:
        """`found`, by its name in plopkit 0.1."""
        return self.found


def released_median(counts: Int[Tensor, "n 100"]) -> ReleasedMedian:
    """The released code's "median" of each row of counts; 0 for an empty row.

    It stops at the first bin i with total_before <= half <= total_before + count, and returns
    (i + (half − total_before) / count) / 100; but its total grows by the bin's index i, not by its count. Where the
    condition never holds, it ends in bin 99 with a total of 4950; where that bin is empty, the value is infinite: then
    every pixel is confident (+inf), or the floor applies (−inf). Where ``half`` equals the total at an empty bin the
    value is NaN: then no pixel is confident.
    """
    counts = counts.cpu()
    borders = [i / RELEASED_BINS for i in range(RELEASED_BINS)]
    read = counts[:, [int(border * RELEASED_BINS) for border in borders]]
    index = torch.arange(RELEASED_BINS)
    total_before = index.cumsum(0) - index
    half = counts.sum(dim=1) / 2
    holds = (total_before <= half[:, None]) & (half[:, None] <= total_before + read)
    found = holds.any(dim=1)
    end = torch.where(found, holds.int().argmax(dim=1), RELEASED_BINS - 1)
    count = read.gather(1, end[:, None]).squeeze(1)
    passed = torch.where(found, total_before[end], index.sum())  # a search that never stops has added 99 as well
    values = torch.tensor(borders)[end] + (half - passed) / count * (1 / RELEASED_BINS)
    return ReleasedMedian(read, total_before, half, end, found, torch.where(half > 0, values, 0.0))
