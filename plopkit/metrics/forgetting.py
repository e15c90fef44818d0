"""Forgetting: what classes have lost since they were known best."""

import numpy as np


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
