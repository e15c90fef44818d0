"""Accuracy of each class, and of all pixels."""

import numpy as np

from plopkit.metrics.shares import percent


def accuracy(counts: np.ndarray) -> np.ndarray:
    """Share of a class's pixels that are predicted right, in percent, (n, n) counts -> (n,); NaN for a class that no
    pixel has."""
    counts = np.asarray(counts, np.float64)
    return percent(counts.diagonal(), counts.sum(1), counts.sum(1))
