"""Shares of pixels in percent."""

import numpy as np


def percent(part: np.ndarray, whole: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """100 part / whole, (n,) each; NaN for a class without pixels, where `truth` is 0."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(truth > 0, 100 * part / whole, np.nan)
