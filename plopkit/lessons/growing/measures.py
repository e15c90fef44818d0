"""What growing does to a net's probabilities, in numbers."""

import math
from collections.abc import Iterable, Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def mean_probabilities(logits: Float[Tensor, "B C H W"], where: Bool[Tensor, "B H W"]) -> Float[Tensor, " C"]:
    """Each channel's probability, averaged over the pixels of ``where``.

    Raises:
        ValueError: ``where`` has no pixel.
    """
    if not where.any():
        raise ValueError("no pixel is chosen, so there is no mean probability; choose others")
    return logits.softmax(1).movedim(1, -1)[where].mean(0)


def overtaken(old_logits: Float[Tensor, "B C H W"], n_new: int) -> Bool[Tensor, "B H W"]:
    """Pixels of the teacher's background where, after balanced growth, an old class is the most likely.

    There the background keeps 1 / (n_new + 1) of its probability, which is less than that of an old class.
    """
    others = old_logits[:, 1:].amax(1)
    background = old_logits[:, 0]
    return (background > others) & (background - math.log(n_new + 1) < others)


def classifier_rows(classifiers: Iterable[nn.Conv2d]) -> Float[Tensor, "C width_and_bias"]:
    """The weights of 1x1 classifiers, a row per channel, with the bias in the last column."""
    rows = []
    for classifier in classifiers:
        assert classifier.bias is not None
        rows.append(torch.cat([classifier.weight.flatten(1), classifier.bias[:, None]], 1))
    return torch.cat(rows).detach()


def largest_changes(
    before: Float[np.ndarray, " C"], after: Float[np.ndarray, " C"], names: Sequence[str], least: float = 0.05
) -> str:
    """The largest rise and the largest fall of one class, and how far the mean moves meanwhile, in words.

    Args:
        before: IoU of the classes in percent; nan where one is not seen.
        after: the same, later.
        names: of the classes.
        least: smaller changes are none.
    """
    change = after - before
    if not (abs(change) >= least).any():  # also where all are nan
        return "none changes"
    largest = {word: int(pick(change)) for word, pick in (("rises", np.nanargmax), ("falls", np.nanargmin))}
    parts = [
        f"{names[c]} {word} from {before[c]:.1f} to {after[c]:.1f}"
        for word, c in largest.items()
        if abs(change[c]) >= least and (change[c] > 0) == (word == "rises")
    ]
    most, mean = float(np.nanmax(abs(change))), abs(float(np.nanmean(change)))
    shows = "hides that" if mean < most / 2 else "shows it"
    return f"{' and '.join(parts)}; the mean over all moves by {mean:.1f} and {shows}"
