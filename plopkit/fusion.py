"""Fusion of a step's weights with those from before it (EWF, Xiao et al., CVPR 2023).

Below, θ is a tensor before the step, θ' the same tensor after it, and λ the weight of the new one.
"""

import math
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor


def merge_weight(n_new: int, n_seen: int) -> float:
    """The weight λ = √(n_new / n_seen) of the weights after a step.

    Args:
        n_new: channels that the step adds.
        n_seen: channels after it, the background included.

    Raises:
        ValueError: where a step adds no channel, or more than there are.

    Example:
        >>> merge_weight(5, 21)
        0.4879500364742666
    """
    if not 0 < n_new <= n_seen:
        raise ValueError(f"a step adds between 1 and all {n_seen} of the channels, not {n_new}")
    return math.sqrt(n_new / n_seen)


def fused(before: Float[Tensor, "*shape"], after: Float[Tensor, "*shape"], weight: float) -> Float[Tensor, "*shape"]:
    """(1 − λ) θ + λ θ'.

    Args:
        before: θ.
        after: θ'.
        weight: λ, as `merge_weight` gives it.
    """
    return (1 - weight) * before + weight * after


def merge_threshold(
    before: Mapping[str, Tensor], after: Mapping[str, Tensor], share: float = 0.45
) -> Float[Tensor, ""]:
    """How far a value must have moved to be fused by `fused_thresholded`.

    τ is the smallest of the largest ⌊share · N⌋ distances `|θ − θ'|`, taken over the N values of all tensors together;
    infinite where that is none of them.

    Args:
        before: θ by name.
        after: θ' by name; tensors that are not in ``before`` do not count.
        share: of the values that are fused.
    """
    moved = torch.cat([(tensor - after[name]).abs().flatten() for name, tensor in before.items()])
    count = int(share * len(moved))
    return moved.topk(count, sorted=False).values.min() if count else moved.new_tensor(math.inf)


def fused_thresholded(
    before: Float[Tensor, "*shape"], after: Float[Tensor, "*shape"], weight: float, threshold: Float[Tensor, ""]
) -> Float[Tensor, "*shape"]:
    """`fused` where `|θ − θ'|` ≥ τ; values that moved less keep θ'.

    The released code has this as an option; the paper does not.

    Args:
        before: θ.
        after: θ'.
        weight: λ, as `merge_weight` gives it.
        threshold: τ, as `merge_threshold` gives it.
    """
    return torch.where((before - after).abs() < threshold, after, fused(before, after, weight))
