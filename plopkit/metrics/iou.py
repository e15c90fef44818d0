"""Intersection over union."""

import numpy as np

from plopkit.metrics.shares import percent


def iou(counts: np.ndarray) -> np.ndarray:
    """Intersection over union in percent, (n, n) counts -> (n,); NaN for a class that no pixel has.

    Example:
        >>> iou(np.array([[3, 1], [0, 4]]))
        array([75., 80.])
    """
    counts = np.asarray(counts, np.float64)
    hit, truth = counts.diagonal(), counts.sum(1)
    return percent(hit, truth + counts.sum(0) - hit, truth)
