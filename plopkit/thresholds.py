"""Medians of histograms: the true one, and what the released code of PLOP computes in its place."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

RELEASED_BINS = 100
RELEASED_FLOOR = 0.001


def binned_median(counts: Int[Tensor, "n bins"]) -> Float[Tensor, " n"]:
    """The lower median of each row of counts over [0, 1], linear inside its bin; 0 for an empty row."""
    counts = counts.cpu()  # float64, which not every device has
    upto = counts.cumsum(dim=1)
    total = upto[:, -1:]
    i = torch.searchsorted(upto, (total + 1) // 2).clamp(max=counts.shape[1] - 1)
    inside = counts.gather(1, i)
    before = upto.gather(1, i) - inside
    median = (i + (total.double() / 2 - before) / inside) / counts.shape[1]
    return torch.where(total > 0, median, 0.0).squeeze(1).float()


class ReleasedMedian(NamedTuple):
    """The released code's search for the median of n histograms: what it sees in each bin, and where it ends."""

    looked: Int[Tensor, "n 100"]
    """the count that it takes for each bin's: that of bin int(i / 100 * 100), as released, and int(0.29 * 100) is 28"""
    running: Int[Tensor, " 100"]
    """its total before each bin: 0, 0, 1, 3, 6, …: the bins' indices summed, not their counts"""
    half: Float[Tensor, " n"]
    """half of each histogram's pixels"""
    ends: Int[Tensor, " n"]
    """the bin it ends in: 99 where it never stops"""
    stopped: Bool[Tensor, " n"]
    """has it met running <= half <= running + count?"""
    values: Float[Tensor, " n"]
    """what it gives"""


def released_median(counts: Int[Tensor, "n 100"]) -> ReleasedMedian:
    """The released code's "median" of each row of counts; 0 for an empty row.

    It stops at the first bin i with running <= half <= running + count, and gives (i + (half - running) / count) / 100;
    but `running` grows by the bin's index i, not by its count. Where it never stops it ends in bin 99, with 4950 as
    its total, and where that bin is empty the value is infinite: then every pixel is sure (+inf), or the floor is taken
    (−inf). Where `half` meets `running` at an empty bin the value is NaN: then no pixel is sure.
    """
    counts = counts.cpu()
    borders = [i / RELEASED_BINS for i in range(RELEASED_BINS)]
    looked = counts[:, [int(border * RELEASED_BINS) for border in borders]]
    index = torch.arange(RELEASED_BINS)
    running = index.cumsum(0) - index
    half = counts.sum(dim=1) / 2
    stops = (running <= half[:, None]) & (half[:, None] <= running + looked)
    stopped = stops.any(dim=1)
    ends = torch.where(stopped, stops.int().argmax(dim=1), RELEASED_BINS - 1)
    count = looked.gather(1, ends[:, None]).squeeze(1)
    passed = torch.where(stopped, running[ends], index.sum())  # who never stops has added bin 99's index as well
    values = torch.tensor(borders)[ends] + (half - passed) / count * (1 / RELEASED_BINS)
    return ReleasedMedian(looked, running, half, ends, stopped, torch.where(half > 0, values, 0.0))
