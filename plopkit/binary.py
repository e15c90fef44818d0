"""Losses of nets that decide about each class by itself: multiple binary cross-entropy and DKD's distillation.

σ is the sigmoid, bce(x, y) = ln(1 + eˣ) − y x. A mean over images and pixels is taken for each channel, and the
channels are summed up. Half precision is computed in float32.

Source: DKD (Baek et al., NeurIPS 2022).
"""

from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from plopkit.losses import binary_distillation
from plopkit.support.chunks import by_chunks
from plopkit.support.precision import at_least_float32


def multiple_binary_cross_entropy(
    logits: Float[Tensor, "B C H W"], target: Integer[Tensor, "B H W"], n_old: int, positive: float = 1.0
) -> Float[Tensor, "B H W"]:
    """− Σ_c [positive · y_c ln σ(x_c) + (1 − y_c) ln(1 − σ(x_c))] of every pixel, over the new channels c ≥ n_old.

    y_c is 1 where c is the target. As in the released code, ignored pixels are of no class, like the background.

    Args:
        logits: logits of all channels.
        target: channels, 255 where ignored.
        n_old: the first channel that counts; at step 0 that is 1, after the background.
        positive: weight of the pixels of a class against all others.
    """
    return by_chunks(partial(_multiple, n_old=max(n_old, 1), positive=positive), logits, target)


def summed_distillation(
    logits: Float[Tensor, "B C H W"], old_logits: Float[Tensor, "B C_old H W"]
) -> Float[Tensor, ""]:
    """Σ_c mean bce(x_c, σ(x_c of the teacher)) over the teacher's classes, without the background, channel 0.

    Raises:
        ValueError: where there are fewer channels than the teacher's.
    """
    n_old = old_logits.shape[1] - 1
    return n_old * binary_distillation(logits[:, 1:], old_logits[:, 1:]).mean()


def part_distillation(part: Float[Tensor, "B N h w"], old_part: Float[Tensor, "B N_old h w"]) -> Float[Tensor, ""]:
    """Σ_c mean bce(a_c, σ(a_c of the teacher)) over the teacher's classes, of parts of the logits (DKD, eq. 7).

    Args:
        part: what the positive, or the negative, weights add to each class's logit (`plopkit.model.sigmoid`).
        old_part: the same of the teacher.
    """
    return old_part.shape[1] * binary_distillation(part, old_part).mean()


def auxiliary_loss(auxiliary: Float[Tensor, "B 1 H W"]) -> Float[Tensor, ""]:
    """mean bce(x, 0): the auxiliary classifier learns to say no everywhere."""
    return F.softplus(at_least_float32(auxiliary)).mean()


def _multiple(logits: Tensor, target: Tensor, n_old: int, positive: float) -> Tensor:
    logits = at_least_float32(logits[:, n_old:])
    own = (target >= n_old) & (target < n_old + logits.shape[1])  # ignored pixels have a larger number
    channel = torch.where(own, target - n_old, 0).long().unsqueeze(1)
    logit = logits.gather(1, channel).squeeze(1)
    # −ln(1 − σ(x)) is softplus(x) for every channel, but −ln σ(x), or softplus(−x), for the target's.
    swapped = positive * F.softplus(-logit) - F.softplus(logit)
    return F.softplus(logits).sum(dim=1) + torch.where(own, swapped, 0.0)
