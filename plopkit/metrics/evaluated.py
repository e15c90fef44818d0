"""What the measures of a step are computed from."""

from typing import NamedTuple

import numpy as np


class Evaluated(NamedTuple):
    """The classes of a run after a step, channel by channel; values in percent, NaN for a class without pixels."""

    iou: np.ndarray
    """(n,)"""
    accuracy: np.ndarray
    """(n,)"""
    pixels: np.ndarray
    """(n,) number of pixels of each class in the validation images"""
    n_first: int
    """number of channels of step 0, background included"""
    best: np.ndarray
    """(n_old,) the best IoU at any step so far, this one included, of the channels that earlier steps have learnt"""
    first: np.ndarray
    """(n_old,) the first IoU of each of them, after the step that learnt it if it had pixels then"""
    has_background: bool = True
    """whether channel 0 is the background, and not a class like the others"""

    @property
    def last(self) -> np.ndarray:
        """(n_old,) the IoU now of the channels that earlier steps have learnt."""
        return self.iou[: len(self.best)]

    @property
    def n_background(self) -> int:
        """Number of channels of the background, 1 or 0."""
        return int(self.has_background)
