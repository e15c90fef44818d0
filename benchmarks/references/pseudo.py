"""Pseudo-labels and thresholds as published: a softmax for the classes and one for the entropy."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

BINS = 100


def entropy(probabilities: Tensor) -> Tensor:
    """The published entropy of probabilities (B, C, H, W), whose mean divides by C once more: (B, H, W)."""
    factor = 1 / math.log(probabilities.shape[1])
    return -factor * torch.mean(probabilities * torch.log(probabilities + 1e-8), dim=1)


def pseudo_label(logits: Tensor, target: Tensor, n_old: int, thresholds: Tensor) -> tuple[Tensor, Tensor]:
    """The targets (B, H, W) with the teacher's labels in the background, and the adaptive factor (B,)."""
    labels = target.clone()
    background = labels < n_old
    _, predicted = torch.softmax(logits, dim=1).max(dim=1)
    uncertainty = entropy(torch.softmax(logits, dim=1)) / math.log(len(thresholds))
    confident = uncertainty < thresholds[predicted]
    labels[~confident & background] = 255
    labels[confident & background] = predicted[confident & background]
    shares = (confident & background).float().sum(dim=(1, 2)) / (background.float().sum(dim=(1, 2)) + 1e-6)
    return labels, shares


def thresholds(batches: Iterable[tuple[Tensor, Tensor]], n_old: int, n_seen: int, floor: float = 0.001) -> Tensor:
    """The published thresholds (n_seen,) from the teacher's logits and the targets of all batches."""
    counts = None
    for logits, target in batches:
        if counts is None:
            counts = torch.zeros(n_old, BINS, dtype=torch.long, device=logits.device)
        background = target == 0
        _, predicted = torch.softmax(logits, dim=1).max(dim=1)
        values = entropy(torch.softmax(logits, dim=1))[background] / math.log(n_seen)
        cell = (predicted[background], torch.clamp((values * BINS).long(), max=BINS - 1))
        counts.index_put_(cell, torch.ones_like(cell[0]), accumulate=True)
    if counts is None:
        raise ValueError("thresholds need at least one batch")
    found = torch.zeros(n_seen, device=counts.device)
    for channel in range(n_old):
        if counts[channel].sum() > 0:
            found[channel] = published_median(counts[channel])
    return found.clamp(min=floor)


def published_median(counts: Tensor) -> Tensor:
    """The published "median" of a histogram, whose running total grows by the bin's index instead of its count.

    It compares tensors, bin by bin.
    """
    half, running, border, read = counts.sum() / 2, 0.0, 0.0, counts[0]
    for index in range(BINS):
        border = index / BINS
        read = counts[int(border * BINS)]
        if running <= half <= running + read:
            break
        running += border * BINS
    return border + (half - running) / read * (1 / BINS)
