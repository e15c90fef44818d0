"""Losses per pixel: cross-entropy and distillation, plain, unbiased (MiB), adaptive (ALIFE), binary (LwF-MC).

Every function returns one value per pixel, so that the caller weights and averages it. Half precision is computed in
float32; float64 stays float64. Channels are in the order learnt, channel 0 is the background, and pixels with target
255 are ignored; beyond 255 channels, those with target 65535. Below, x are the net's logits of a pixel, p = softmax(x),
y its target, and q the teacher's softmax over its C_old channels.

Losses and gradients are computed by chunks of the images (`plopkit.support.chunks`), so that next to the logits and
their gradient nothing of this size is kept.
"""

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from plopkit.scenario import ignored_id
from plopkit.support.chunks import by_chunks
from plopkit.support.precision import at_least_float32


def cross_entropy(logits: Float[Tensor, "B C H W"], target: Integer[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """Cross-entropy − ln p_y of every pixel; 0 where ignored.

    Raises:
        IndexError: for a target that is neither a channel nor 255 (on a GPU: a device assertion).

    Example:
        >>> cross_entropy(torch.zeros(1, 4, 1, 2), torch.tensor([[[3, 255]]]))
        tensor([[[1.3863, 0.0000]]])
    """
    return by_chunks(_cross_entropy, logits, target)


def unbiased_cross_entropy(
    logits: Float[Tensor, "B C H W"], target: Integer[Tensor, "B H W"], n_old: int, shows_old: bool = False
) -> Float[Tensor, "B H W"]:
    """Cross-entropy where background means "background or any old class" (MiB, Cermelli et al., CVPR 2020, eq. 5).

    − ln p_y for a new class y, − ln Σ_{c < n_old} p_c for the background: the first ``n_old`` channels become one whose
    logit is their log-sum-exp. A target below ``n_old`` means that channel; with ``shows_old`` only the target 0 does,
    and an old class y counts as − ln p_y. With ``n_old`` of 0 or 1 there is nothing to merge, and the result is
    `cross_entropy`.

    Raises:
        ValueError: where n_old exceeds the number of channels.
    """
    if not 0 <= n_old <= logits.shape[1]:
        raise ValueError(f"n_old must be between 0 and the {logits.shape[1]} channels of the logits, not {n_old}")
    if n_old <= 1:
        return cross_entropy(logits, target)
    return by_chunks(partial(_unbiased_cross_entropy, n_old=n_old, shows_old=shows_old), logits, target)


def distillation(logits: Float[Tensor, "B C H W"], old_logits: Float[Tensor, "B C_old H W"]) -> Float[Tensor, "B H W"]:
    """Soft cross-entropy of the old channels against the teacher (LwF): − (1 / C_old) Σ_c q_c ln p_c.

    The softmax p is over the old channels alone; new channels take no part.

    Raises:
        ValueError: where there are fewer channels than the teacher's.
    """
    _check_channels(logits, old_logits)
    return by_chunks(_distillation, logits, old_logits)


def unbiased_distillation(
    logits: Float[Tensor, "B C H W"], old_logits: Float[Tensor, "B C_old H W"]
) -> Float[Tensor, "B H W"]:
    """Distillation where the teacher's background means "background or any new class" (MiB, eq. 8).

    − (1 / C_old) Σ_c q_c ln p'_c, where p' is p with the new channels' probabilities added to the background's.

    Raises:
        ValueError: where there are fewer channels than the teacher's.
    """
    _check_channels(logits, old_logits)
    return by_chunks(_unbiased_distillation, logits, old_logits)


def adaptive_logits(
    logits: Float[Tensor, "B C H W"], old_logits: Float[Tensor, "B C_old H W"]
) -> Float[Tensor, "B H W"]:
    """Adaptive logit regulariser ln Σ_c exp(x_c) − Σ_{c < C_old} q_c x_c (ALIFE, Oh et al., NeurIPS 2022).

    It is − Σ_c q_c ln p_c with p over all channels, new ones included, where `distillation` has a softmax over the old
    channels alone. ALIFE takes it at pixels of the background.

    Raises:
        ValueError: where there are fewer channels than the teacher's.
    """
    _check_channels(logits, old_logits)
    return by_chunks(_adaptive_logits, logits, old_logits)


def binary_cross_entropy(logits: Float[Tensor, "B C H W"], target: Integer[Tensor, "B H W"]) -> Float[Tensor, "B H W"]:
    """Binary cross-entropy against the one-hot target, summed over channels (LwF-MC); 0 where ignored.

    − ln σ(x_y) − Σ_{c ≠ y} ln(1 − σ(x_c)).

    Raises:
        RuntimeError: for a target that is neither a channel nor 255 (on a GPU: a device assertion).
    """
    return by_chunks(_binary_cross_entropy, logits, target)


def binary_distillation(
    logits: Float[Tensor, "B C H W"], old_logits: Float[Tensor, "B C_old H W"]
) -> Float[Tensor, "B H W"]:
    """Binary cross-entropy of the old channels against the teacher's sigmoid s, averaged over them (LwF-MC).

    − (1 / C_old) Σ_c [s_c ln σ(x_c) + (1 − s_c) ln(1 − σ(x_c))].

    Raises:
        ValueError: where there are fewer channels than the teacher's.
    """
    _check_channels(logits, old_logits)
    return by_chunks(_binary_distillation, logits, old_logits)


def _check_channels(logits: Tensor, old_logits: Tensor) -> None:
    if logits.shape[1] < old_logits.shape[1]:
        raise ValueError(f"the net has {logits.shape[1]} channels, fewer than the teacher's {old_logits.shape[1]}")


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    # nll_loss, in which cross_entropy ends, cannot return a gradient in channels-last ("grad_input must be
    # contiguous"). log_softmax before it returns contiguous results (seen on CPU) but does not promise to.
    logits = at_least_float32(logits).contiguous()
    ignored = ignored_id(logits.shape[1])
    return F.cross_entropy(logits, target.long().contiguous(), ignore_index=ignored, reduction="none")


def _unbiased_cross_entropy(logits: Tensor, target: Tensor, n_old: int, shows_old: bool) -> Tensor:
    logits, target = at_least_float32(logits), target.long()
    if shows_old:
        background = logits[:, :n_old].logsumexp(dim=1)
        named = torch.where(target == 0, ignored_id(logits.shape[1]), target)
        unnamed = (logits.logsumexp(dim=1) - background) * (target == 0)
        return unnamed + _cross_entropy(logits, named)
    merged = torch.cat([logits[:, :n_old].logsumexp(dim=1, keepdim=True), logits[:, n_old:]], dim=1)
    ignored = target == ignored_id(logits.shape[1])
    return _cross_entropy(merged, torch.where(ignored, ignored_id(merged.shape[1]), (target - n_old + 1).clamp(min=0)))


def _distillation(logits: Tensor, old_logits: Tensor) -> Tensor:
    old_logits = at_least_float32(old_logits)
    logits = at_least_float32(logits[:, : old_logits.shape[1]])
    return -(old_logits.softmax(dim=1) * logits.log_softmax(dim=1)).mean(dim=1)


def _unbiased_distillation(logits: Tensor, old_logits: Tensor) -> Tensor:
    logits, n_old = at_least_float32(logits), old_logits.shape[1]
    background = torch.cat([logits[:, :1], logits[:, n_old:]], dim=1).logsumexp(dim=1, keepdim=True)
    return _distillation(torch.cat([background, logits[:, 1:n_old]], dim=1), old_logits)


def _adaptive_logits(logits: Tensor, old_logits: Tensor) -> Tensor:
    logits, old = at_least_float32(logits), at_least_float32(old_logits).softmax(dim=1)
    return logits.logsumexp(dim=1) - (old * logits[:, : old.shape[1]]).sum(dim=1)


def _binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    logits, target = at_least_float32(logits), target.long()
    labelled = target != ignored_id(logits.shape[1])
    # −ln σ(x) is softplus(−x), for the target's channel; −ln(1 − σ(x)) is softplus(x), for all others.
    channel = torch.where(labelled, target, 0).unsqueeze(1)
    signed = logits.scatter(1, channel, -logits.gather(1, channel))
    return torch.where(labelled, F.softplus(signed).sum(dim=1), 0.0)


def _binary_distillation(logits: Tensor, old_logits: Tensor) -> Tensor:
    old_logits = at_least_float32(old_logits)
    logits = at_least_float32(logits[:, : old_logits.shape[1]])
    return F.binary_cross_entropy_with_logits(logits, old_logits.sigmoid(), reduction="none").mean(dim=1)
