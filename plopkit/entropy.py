"""How uncertain a teacher is: the entropy of its softmax, normalised, and as PLOP's released code computes it.

Half precision is computed in float32.
"""

import math

from jaxtyping import Float
from torch import Tensor

from plopkit.support.chunks import by_chunks
from plopkit.support.precision import at_least_float32

LEAST_LOG = -80.0
"""Relative to the largest logit: exp(-80) adds nothing to an entropy, and no -inf is multiplied by 0."""


def uncertainty(logits: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W"]:
    """The normalised entropy u = H(softmax) / ln C, in [0, 1].

    Raises:
        ValueError: where there are fewer than two channels.

    Example:
        >>> uncertainty(torch.zeros(1, 3, 1, 1))
        tensor([[[1.]]])
    """
    _check_two_channels(logits)
    return by_chunks(_normalised_entropy, logits)


def released_uncertainty(logits: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W"]:
    """The released code's entropy, − (1 / ln C) · (1 / C) Σ_c p_c ln(p_c + 1e-8).

    The mean divides by C once more, so it reaches 1 / C only.

    Raises:
        ValueError: where there are fewer than two channels.
    """
    _check_two_channels(logits)
    return by_chunks(_released_entropy, logits)


def _normalised_entropy(logits: Tensor) -> Tensor:
    # With z = x − max x and S = Σ exp z, H = ln S − Σ z exp z / S: one exponential per channel, and no logarithm.
    logits = at_least_float32(logits)
    shifted = (logits - logits.amax(dim=1, keepdim=True)).clamp_(min=LEAST_LOG)
    powers = shifted.exp()
    total = powers.sum(dim=1)
    entropy = total.log() - shifted.mul_(powers).sum(dim=1) / total
    return (entropy / math.log(logits.shape[1])).clamp(0, 1)


def _released_entropy(logits: Tensor) -> Tensor:
    p = at_least_float32(logits).softmax(dim=1)
    return -(p + 1e-8).log_().mul_(p).mean(dim=1) / math.log(logits.shape[1])


def _check_two_channels(logits: Tensor) -> None:
    if logits.shape[1] < 2:
        raise ValueError(f"uncertainty needs at least two channels, not {logits.shape[1]}")
