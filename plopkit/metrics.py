"""Metrics from one confusion matrix: IoU, accuracy, means over groups of classes, forgetting."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Integer
from torch import Tensor

from plopkit.scenario import IGNORE


def confusion(
    prediction: Integer[Tensor, "*shape"], target: Integer[Tensor, "*shape"], n: int
) -> Integer[Tensor, "{n} {n}"]:
    """Counts of pixels, int64: rows are targets, columns predictions. Pixels with target 255 are left out.

    ValueError for a channel beyond n, in either.
    """
    asked = target != IGNORE
    cells = target[asked].long() * (n + 1) + prediction[asked].long().clamp(max=n)  # a column for what is beyond
    counts = torch.bincount(cells, minlength=n * (n + 1))
    if len(counts) > n * (n + 1) or (counts := counts.view(n, n + 1))[:, n].any():
        raise ValueError(f"channels go from 0 to {n - 1} here, and some are larger; n is the number of them all")
    return counts[:, :n].contiguous()


def iou(counts: np.ndarray) -> np.ndarray:
    """(n, n) counts -> (n,) intersection over union in percent; NaN for a class that no pixel has."""
    counts = np.asarray(counts, np.float64)
    hit, truth = counts.diagonal(), counts.sum(1)
    return _percent(hit, truth + counts.sum(0) - hit, truth)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """(n, n) counts -> (n,) share of a class's pixels that are found, in percent; NaN for a class that no pixel has."""
    counts = np.asarray(counts, np.float64)
    return _percent(counts.diagonal(), counts.sum(1), counts.sum(1))


def group_means(values: Sequence[float] | np.ndarray, n_first: int) -> dict[str, float]:
    """Means of per-channel values over the groups of the papers' tables; NaN where a group is empty.

    old: the ``n_first`` channels of step 0, background included; new: all learnt since; all: both; ``*_nobg``: without
    the background, as MiB's tables have it. A class without pixels is in no mean, as in the released code.
    """
    values = np.asarray(values, np.float64)
    groups = {"old": values[:n_first], "new": values[n_first:], "all": values}
    groups |= {"old_nobg": values[1:n_first], "all_nobg": values[1:]}
    return {name: float(np.nanmean(v)) if np.isfinite(v).any() else float("nan") for name, v in groups.items()}


def forgetting(history: np.ndarray) -> np.ndarray:
    """(steps, n) of a class's IoU at each step, NaN before it is learnt -> (n,) best so far minus last.

    Chaudhry et al. (ECCV 2018), eq. 3, with the last step in the maximum, so that it is never negative.
    """
    history = np.asarray(history, np.float64)
    best = np.where(np.isfinite(history), history, -np.inf).max(0)
    return np.where(np.isfinite(best), best - history[-1], np.nan)


def _percent(part: np.ndarray, whole: np.ndarray, truth: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(truth > 0, 100 * part / whole, np.nan)
