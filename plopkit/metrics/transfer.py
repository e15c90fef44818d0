"""Backward transfer: what later steps have done to classes since they were learnt."""

import numpy as np


def backward_transfer(history: np.ndarray) -> np.ndarray:
    """How much each class has gained since it was learnt: its last value minus its first.

    Lopez-Paz and Ranzato (NeurIPS 2017), with classes in place of tasks. Negative where a class was forgotten, positive
    where later steps have helped it.

    Args:
        history: (steps, n), a value per step and class; NaN before the class is learnt.

    Returns:
        (n,); NaN for a class that is never learnt.
    """
    history = np.asarray(history, np.float64)
    first = np.isfinite(history).argmax(0)
    return np.asarray(history[-1] - history[first, np.arange(history.shape[1])])
