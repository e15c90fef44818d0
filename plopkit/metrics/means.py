"""Means over the groups of classes that the papers' tables have."""

from collections.abc import Sequence

import numpy as np


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
    return {name: mean(v) for name, v in groups.items()}


def mean(values: np.ndarray) -> float:
    """The mean of the values that are not NaN; NaN where there is none."""
    return float(np.nanmean(values)) if np.isfinite(values).any() else float("nan")
