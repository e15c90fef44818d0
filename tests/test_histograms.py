"""Histograms of uncertainty: their size, and what they count."""

import pytest
import torch
from plain_pseudo import draw_batch

from plopkit.histograms import MEDIAN_BINS, median_bins, median_histogram, released_histogram
from plopkit.support.prediction import predicted_channel


@pytest.mark.parametrize("n_old", [2, 21, 151, 256, 257, 1000, 65_536])
def test_median_histograms_have_limited_memory(n_old: int) -> None:
    bins = median_bins(n_old)
    assert bins == MEDIAN_BINS or n_old > 256
    assert bins & (bins - 1) == 0
    assert 8 * n_old * bins <= 2**28
    assert 8 * n_old * bins > 2**26 or bins == MEDIAN_BINS


def test_histograms_count_background_pixels_by_predicted_class() -> None:
    batches = [draw_batch(seed, 4, 6, (2, 8, 8)) for seed in range(3)]
    logits, target = (torch.cat(parts) for parts in zip(*batches, strict=True))
    expected = torch.bincount(predicted_channel(logits)[target == 0], minlength=4)
    median, released = median_histogram(batches, 4), released_histogram(batches, 4, 6)
    assert median.shape == (4, MEDIAN_BINS)
    assert released.shape == (4, 100)
    for counts in (median, released):
        assert torch.equal(counts.sum(dim=1), expected)


def test_only_background_must_be_finite() -> None:
    logits, target = draw_batch(0, 4, 6, (1, 4, 4))
    spoilt = torch.where((target == 0)[:, None], logits, torch.nan)
    assert spoilt.isnan().any()
    assert torch.equal(median_histogram([(spoilt, target)], 4), median_histogram([(logits, target)], 4))
