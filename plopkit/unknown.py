"""SSUL's unknown: targets with a channel for salient background, pseudo-labels, and how binary decisions are read.

Its logits have a channel more than the net learns classes: 0 is unknown, 1 the background, and class c is c + 1.

Source: SSUL (Cha et al., NeurIPS 2021).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Integer
from torch import Tensor

from plopkit.scenario import ignored_id
from plopkit.support.precision import at_least_float32

THRESHOLD = 0.7
"""Smallest probability of a pseudo-label."""


def salient_id(n_seen: int) -> int:
    """The target of a salient pixel of the background: 254, or 65534 beyond 255 channels. Of 255 it is one, the last.

    Args:
        n_seen: number of channels, without the unknown one.
    """
    return ignored_id(n_seen) - 1


def with_unknown(target: Integer[Tensor, "B H W"], n_seen: int) -> Int[Tensor, "B H W"]:
    """The target with the unknown channel: channel c becomes c + 1, salient background 0; ignored pixels stay.

    Args:
        target: channels, `salient_id` where the background is salient, 255 where ignored.
        n_seen: number of channels, without the unknown one.
    """
    wide = target.long()
    shifted = torch.where(wide == salient_id(n_seen), 0, wide + 1)
    return torch.where(wide == ignored_id(n_seen), ignored_id(n_seen + 1), shifted)


def with_pseudo_labels(
    target: Integer[Tensor, "B H W"], old_logits: Float[Tensor, "B C H W"], threshold: float = THRESHOLD
) -> Integer[Tensor, "B H W"]:
    """The target, in which the unknown and the background become the teacher's class where that is sure.

    The teacher's channel is the one with the largest sigmoid among all, the unknown and the background included. It
    is taken where it is a class and its sigmoid is at least the threshold.

    Args:
        target: channels, the unknown one included.
        old_logits: the teacher's, the unknown channel included.
        threshold: smallest sigmoid.
    """
    logit, channel = at_least_float32(old_logits).max(dim=1)
    sure = (target <= 1) & (channel > 1) & (logit.sigmoid() >= threshold)
    return torch.where(sure, channel.to(target.dtype), target)


def scores(logits: Float[Tensor, "B C1 H W"]) -> Float[Tensor, "B C H W"]:
    """The logarithm of each class's sigmoid, and of the sum of the unknown's and the background's as channel 0.

    The largest is SSUL's prediction. Their softmax is each one's share of the sum of these sigmoids.
    """
    logs = F.logsigmoid(at_least_float32(logits))
    return torch.cat([logs[:, :2].logsumexp(dim=1, keepdim=True), logs[:, 2:]], dim=1)
