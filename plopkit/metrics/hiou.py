"""hIoU, the harmonic mean of old and new: high only where both are."""

from collections.abc import Sequence

import numpy as np

from plopkit.metrics.means import group_means


def hiou(values: Sequence[float] | np.ndarray, n_first: int) -> float:
    """Harmonic mean of the mIoU of step 0's classes, background included, and that of all later ones.

    2 old new / (old + new), as in DKD (Baek et al., NeurIPS 2022).

    Args:
        values: IoU per channel in percent; NaN for a class without pixels.
        n_first: Number of channels of step 0, background included.

    Returns:
        NaN where a group is empty, as `new` is at step 0; 0 where both are 0.

    Example:
        >>> hiou([60.0, 60.0, 30.0], 2)
        40.0
    """
    means = group_means(values, n_first)
    old, new = means["old"], means["new"]
    return 2 * old * new / (old + new) if old + new else 0.0
