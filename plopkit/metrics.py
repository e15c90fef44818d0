"""Metrics from one confusion matrix: IoU, accuracy, means over groups of classes, forgetting."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from plopkit.confusion import confusion

__all__ = ["PER_CLASS", "accuracy", "confusion", "forgetting", "group_means", "iou"]


def __getattr__(name: str) -> Any:
    if name == "confusion":  # the only metric that needs torch; tables of finished runs are read without
        from plopkit.confusion import confusion

        return confusion
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union in percent, (n, n) counts -> (n,); NaN for a class that no pixel has.

    Example:
        >>> iou(np.array([[3, 1], [0, 4]]))
        array([75., 80.])
    """
    counts = np.asarray(counts, np.float64)
    hit, truth = counts.diagonal(), counts.sum(1)
    return _percent(hit, truth + counts.sum(0) - hit, truth)


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of a class's pixels that are predicted right, in percent, (n, n) counts -> (n,); NaN for a class that no
    pixel has."""
    counts = np.asarray(counts, np.float64)
    return _percent(counts.diagonal(), counts.sum(1), counts.sum(1))


PER_CLASS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"iou": iou, "accuracy": accuracy}
"""The metrics of each class, (n, n) counts -> (n,): each is a column of `results.csv`. A further entry is one more."""


def group_means(values: Sequence[float] | np.ndarray, n_first: int, has_background: bool = True) -> dict[str, float]:
    """Means of per-channel values over the groups of the papers' tables; NaN where a group is empty.

    A class without pixels counts in no mean, as in the released code.

    Args:
        values: A value per channel; NaN for a class without pixels.
        n_first: Number of channels of step 0, background included.
        has_background: Whether channel 0 is the background, and not a class like the others.

    Returns:
        `old`, the channels of step 0, background included; `new`, those learnt since; `all`, both; `old_nobg` and
        `all_nobg`, without the background, as MiB's tables have it.
    """
    values = np.asarray(values, np.float64)
    groups = {"old": values[:n_first], "new": values[n_first:], "all": values}
    first = int(has_background)
    groups |= {"old_nobg": values[first:n_first], "all_nobg": values[first:]}
    return {name: float(np.nanmean(v)) if np.isfinite(v).any() else float("nan") for name, v in groups.items()}


def forgetting(history: np.ndarray) -> np.ndarray:
    """How much each class has lost: its best value at any step minus the last.

    Chaudhry et al. (ECCV 2018), eq. 3, with the last step in the maximum, so that it is never negative.

    Args:
        history: (steps, n), a value per step and class; NaN before the class is learnt.

    Returns:
        (n,); NaN for a class that is never learnt.
    """
    history = np.asarray(history, np.float64)
    best = np.where(np.isfinite(history), history, -np.inf).max(0)
    return np.where(np.isfinite(best), best - history[-1], np.nan)


def _percent(part: np.ndarray, whole: np.ndarray, truth: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(truth > 0, 100 * part / whole, np.nan)
