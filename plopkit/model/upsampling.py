"""Bilinear upsampling of logits to the size of the images."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from plopkit.support.precision import at_least_float32


def upsample(small: Float[Tensor, "B C h w"], size: Sequence[int | Tensor]) -> Float[Tensor, "B C H W"]:
    """``F.interpolate(mode="bilinear", align_corners=False)`` in float32 or better, with channels outermost.

    The losses read logits channel by channel, faster than logits whose channels are innermost.

    Its gradient, and on a CPU its value too, are products of matrices: `F.interpolate` takes several times as long for
    them. Both agree to rounding. While a net is traced, sizes are tensors, and it is `F.interpolate`.
    """
    small = at_least_float32(small).contiguous()
    if torch.jit.is_tracing():  # the matrices below would keep their size
        traced: Any = tuple(size)
        return F.interpolate(small, traced, mode="bilinear", align_corners=False)
    if small.device.type != "cpu":
        return _Upsample.apply(small, tuple(size))
    rows, columns = _weights(small, small.shape[2:], [int(n) for n in size])
    with torch.autocast("cpu", enabled=False):  # which would multiply in half precision
        return rows.T @ (small @ columns)


class _Upsample(torch.autograd.Function):
    """`F.interpolate`, with its gradient as two products of matrices."""

    @staticmethod
    def forward(ctx: Any, small: Tensor, size: tuple[int, int]) -> Tensor:
        ctx.small = small.shape[2:]
        return F.interpolate(small, size, mode="bilinear", align_corners=False)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        rows, columns = _weights(gradient, ctx.small, gradient.shape[2:])
        with torch.autocast(gradient.device.type, enabled=False):
            return rows @ gradient @ columns.T, None


def _weights(like: Tensor, small: Sequence[int], size: Sequence[int]) -> list[Float[Tensor, "n to"]]:
    """By axis, the weight of each small pixel in each of the upsampled ones; in a tensor's type, on its device."""
    units = (torch.eye(n, dtype=like.dtype, device=like.device) for n in small)
    return [
        F.interpolate(unit[None], to, mode="linear", align_corners=False)[0]
        for unit, to in zip(units, size, strict=True)
    ]
