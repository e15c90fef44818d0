"""What growing does to a net's probabilities, in numbers: the background's share, and whose place it loses."""

import math
from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


def mean_probabilities(logits: Float[Tensor, "B C H W"], where: Bool[Tensor, "B H W"]) -> Float[Tensor, " C"]:
    """Each channel's probability, averaged over the pixels chosen; ValueError where none is."""
    if not where.any():
        raise ValueError("no pixel is chosen, so there is no mean probability; choose others")
    return logits.softmax(1).movedim(1, -1)[where].mean(0)


def overtaken(old_logits: Float[Tensor, "B C H W"], n_new: int) -> Bool[Tensor, "B H W"]:
    """Pixels of the teacher's background at which an old class is more likely than the background's share of it."""
    others = old_logits[:, 1:].amax(1)
    background = old_logits[:, 0]
    return (background > others) & (background - math.log(n_new + 1) < others)


def classifier_rows(classifiers: Iterable[nn.Conv2d]) -> Float[Tensor, "C width_and_bias"]:
    """The 1x1 classifiers' weights, a row per channel, the bias in the last column."""
    rows = []
    for classifier in classifiers:
        assert classifier.bias is not None
        rows.append(torch.cat([classifier.weight.flatten(1), classifier.bias[:, None]], 1))
    return torch.cat(rows).detach()
