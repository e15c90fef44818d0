"""Bilinear upsampling of logits to the size of the images."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from plopkit.support.precision import at_least_float32


def upsample(small: Float[Tensor, "B C h w"], size: Sequence[int]) -> Float[Tensor, "B C {size[0]} {size[1]}"]:
    """``F.interpolate(mode="bilinear", align_corners=False)`` in float32 or better, with channels outermost.

    The losses read logits channel by channel, faster than logits whose channels are innermost.

    On a CPU it is computed as two products of matrices, because the gradient of `F.interpolate` takes several times as
    long. Both agree to rounding.
    """
    small = at_least_float32(small).contiguous()
    if small.device.type != "cpu":
        return F.interpolate(small, tuple(size), mode="bilinear", align_corners=False)
    rows, columns = (_weights(small, n, to) for n, to in zip(small.shape[2:], size, strict=True))
    with torch.autocast("cpu", enabled=False):  # which would multiply in half precision
        return rows.T @ (small @ columns)


def _weights(like: Tensor, n: int, to: int) -> Float[Tensor, "{n} {to}"]:
    """The weight of each of n pixels in each of the ``to`` pixels of an upsampled line."""
    return F.interpolate(torch.eye(n, dtype=like.dtype)[None], to, mode="linear", align_corners=False)[0]
