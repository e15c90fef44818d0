"""What kind of mistake each pixel is: forgetting tells itself from other errors."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Integer, UInt8

from plopkit.scenario import IGNORE

KINDS = ("right", "old class called background", "old class called a newer one", "other mistake")
"""The names of the kinds 0 to 3; 255 is a pixel that is not asked."""


def truth_at(
    mask: Integer[np.ndarray, "*shape"], learned_at: Mapping[int, int], step: int
) -> UInt8[np.ndarray, "*shape"]:
    """The labels as they count after ``step``: those not learnt yet are background, as in the evaluation.

    learned_at: the step that brought each label; a label that is not in it is never learnt.
    """
    table = np.zeros(256, np.uint8)
    for label, brought in learned_at.items():
        if brought <= step:
            table[label] = label
    table[IGNORE] = IGNORE
    return table[mask]


def mistakes(
    prediction: Integer[np.ndarray, "*shape"],
    mask: Integer[np.ndarray, "*shape"],
    learned_at: Mapping[int, int],
    step: int,
) -> UInt8[np.ndarray, "*shape"]:
    """Labels predicted after ``step`` and the true ones -> the kind of each pixel, a place in ``KINDS``, or 255.

    An old class is one that an earlier step than ``step`` brought, the background left out; a newer one came after it.
    """
    brought = np.full(256, -1)
    for label, when in learned_at.items():
        brought[label] = when
    truth = truth_at(mask, learned_at, step)
    old = (truth != 0) & (truth != IGNORE) & (brought[truth] < step)
    newer = (prediction != 0) & (brought[prediction] > brought[truth])
    kinds = np.select([truth == prediction, old & (prediction == 0), old & newer], [0, 1, 2], 3).astype(np.uint8)
    kinds[truth == IGNORE] = IGNORE
    return kinds


def shares(kinds: Integer[np.ndarray, "*shape"]) -> Float[np.ndarray, "4"]:
    """Which part of the pixels that are asked has each kind; 0 where none is asked."""
    counts = np.bincount(kinds[kinds != IGNORE].astype(np.int64), minlength=len(KINDS))
    return counts / max(1, counts.sum())
