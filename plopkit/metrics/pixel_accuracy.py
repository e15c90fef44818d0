"""Pixel accuracy, which shows what a mean over classes hides: whether the background is right."""

import numpy as np


def pixel_accuracy(accuracies: np.ndarray, pixels: np.ndarray) -> float:
    """Share of all pixels that are predicted right, in percent: the mean of the classes' accuracies by pixels.

    Args:
        accuracies: (n,) in percent, as `accuracy` gives them; NaN for a class without pixels.
        pixels: (n,) number of pixels of each class.

    Returns:
        NaN where there is no pixel.

    Example:
        >>> pixel_accuracy(np.array([50.0, 100.0]), np.array([3, 1]))
        62.5
    """
    pixels = np.asarray(pixels, np.float64)
    if not pixels.sum():
        return float("nan")
    return float(np.nansum(np.asarray(accuracies, np.float64) * pixels) / pixels.sum())
