"""Losses per pixel: cross-entropy and distillation, plain, unbiased (MiB) and binary (LwF-MC).

Every function returns one value per pixel, so that the caller weights and averages it. Half precision is
computed in float32; float64 stays float64. Channels are in the order learnt, channel 0 is the background, and
target 255 asks for nothing.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from plopkit.scenario import IGNORE
from plopkit.support.precision import at_least_float32


def cross_entropy(logits: Float[Tensor, "B C H W"], target: Integer[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """Cross-entropy of every pixel; 0 where the target is 255.

    A target that is neither a channel nor 255 raises an IndexError (on a GPU: a device assertion).
    """
    # Logits upsampled from a channels-last map are channels-last too; nll_loss, in which this ends, cannot
    # give a gradient in that layout ("grad_input must be contiguous"). log_softmax, which lies between, makes
    # its result contiguous (seen on CPU), but promises it nowhere; as it copies anyway, this costs nothing.
    logits = at_least_float32(logits).contiguous()
    return F.cross_entropy(logits, target.long().contiguous(), ignore_index=IGNORE, reduction="none")


def unbiased_cross_entropy(
    logits: Float[Tensor, "B C H W"], target: Integer[Tensor, "B H W"], n_old: int
) -> Float[Tensor, "B H W"]:
    """Cross-entropy where background means "background or any old class".

    MiB, Cermelli et al., CVPR 2020, section 3.2. The first `n_old` channels become one, whose logit is their
    log-sum-exp: it has the sum of their probabilities. A target below `n_old` asks for that channel. With
    `n_old` of 0 or 1 nothing is hidden, and this is `cross_entropy`. `n_old` beyond the channels raises a
    ValueError.
    """
    if not 0 <= n_old <= logits.shape[1]:
        raise ValueError(f"n_old must lie between 0 and the {logits.shape[1]} channels of the logits, not {n_old}")
    if n_old <= 1:
        return cross_entropy(logits, target)
    logits = at_least_float32(logits)
    old = logits[:, :n_old].logsumexp(dim=1, keepdim=True)
    target = target.long()
    asked = torch.where(target == IGNORE, IGNORE, (target - n_old + 1).clamp(min=0))
    return cross_entropy(torch.cat([old, logits[:, n_old:]], dim=1), asked)


def distillation(logits: Float[Tensor, "B C H W"], old_logits: Float[Tensor, "B C_old H W"]) -> Float[Tensor, "B H W"]:
    """Soft cross-entropy of the old channels against the teacher, averaged over these channels (LwF).

    New channels take no part, not even in the softmax. Fewer channels than the teacher's raise a ValueError.
    """
    old_logits = at_least_float32(old_logits)
    logits = at_least_float32(_old_channels(logits, old_logits))
    return -(old_logits.softmax(dim=1) * logits.log_softmax(dim=1)).mean(dim=1)


def unbiased_distillation(
    logits: Float[Tensor, "B C H W"], old_logits: Float[Tensor, "B C_old H W"]
) -> Float[Tensor, "B H W"]:
    """Distillation where the teacher's background means "background or any new class" (MiB, section 3.2).

    The background and the new channels become one, by log-sum-exp; the mean is over the teacher's channels.
    Fewer channels than the teacher's raise a ValueError.
    """
    old = at_least_float32(_old_channels(logits, old_logits))
    new = at_least_float32(logits[:, old_logits.shape[1] :])
    background = torch.cat([old[:, :1], new], dim=1).logsumexp(dim=1, keepdim=True)
    return distillation(torch.cat([background, old[:, 1:]], dim=1), old_logits)


def binary_cross_entropy(logits: Float[Tensor, "B C H W"], target: Integer[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """Binary cross-entropy against the one-hot target, summed over channels (LwF-MC).

    It is 0 where the target is 255. A target that is neither a channel nor 255 raises a RuntimeError (on a
    GPU: a device assertion).
    """
    logits, target = at_least_float32(logits), target.long()
    asked = target != IGNORE
    # −ln σ(x) is softplus(−x), for the channel asked for; −ln(1 − σ(x)) is softplus(x), for all others.
    channel = torch.where(asked, target, 0).unsqueeze(1)
    signed = logits.scatter(1, channel, -logits.gather(1, channel))
    return torch.where(asked, F.softplus(signed).sum(dim=1), 0.0)


def binary_distillation(
    logits: Float[Tensor, "B C H W"], old_logits: Float[Tensor, "B C_old H W"]
) -> Float[Tensor, "B H W"]:
    """Binary cross-entropy of the old channels against the teacher's sigmoid, averaged over these (LwF-MC).

    Fewer channels than the teacher's raise a ValueError.
    """
    old_logits = at_least_float32(old_logits)
    logits = at_least_float32(_old_channels(logits, old_logits))
    return F.binary_cross_entropy_with_logits(logits, old_logits.sigmoid(), reduction="none").mean(dim=1)


def _old_channels(logits: Tensor, old_logits: Tensor) -> Tensor:
    n_old = old_logits.shape[1]
    if logits.shape[1] < n_old:
        raise ValueError(f"the net has {logits.shape[1]} channels, fewer than the teacher's {n_old}")
    return logits[:, :n_old]
