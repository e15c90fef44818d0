"""What has become of the old shapes after a class was added without their pictures."""

import numpy as np
from jaxtyping import Integer

from plopkit.lessons.own_data.shapes import NAMES

STAR = NAMES.index("star")
FATES = ("yes, most of them", "no, they are background", "no, they are stars", "no, they are other old shapes")
"""What most of their pixels may be."""


def fate_of_old(truth: Integer[np.ndarray, "H W"], predicted: Integer[np.ndarray, "H W"]) -> str | None:
    """Which of `FATES` is true of one picture; None where it shows no old shape.

    Known are old shapes of which more than half of the pixels are right. Of the others' pixels, the most decide.
    """
    old = (truth > 0) & (truth < STAR)
    if not old.any():
        return None
    kept = old & (predicted == truth)
    if 2 * kept.sum() > old.sum():
        return FATES[0]
    lost = predicted[old & ~kept]
    return FATES[1 + int(np.argmax([(lost == 0).sum(), (lost == STAR).sum(), ((lost > 0) & (lost < STAR)).sum()]))]
