"""Compute functions of single pixels strip by strip, because intermediate results of whole batches are large.

On a CPU, the intermediate results of a strip stay in the cache, and each strip uses their memory again; those of a
whole batch go through main memory, in pages that the system maps anew in every iteration. On other devices strips are
so large that only batches with very many channels are cut, which limits their memory.
"""

from collections.abc import Callable
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor

CPU_STRIP = 2**19
"""How many values a strip has at most, if a row has less: 2 MB of float32."""
DEVICE_STRIP = 2**27
"""The same on other devices: 512 MB."""

Strip = tuple[slice, EllipsisType, slice, slice]
"""Some rows of an image, as an index of (B, C, H, W) or (B, H, W)."""


def by_strips(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """The result of ``function(*tensors)``, computed for some rows of an image at a time.

    The gradient is computed in the same way. For it, only the arguments are kept: ``function`` is computed again. A
    gradient that is to be differentiated itself (``create_graph``) is computed as a whole.

    Args:
        function: gives (b, h, W) for tensors of b images and h rows. The value of a pixel depends on this pixel of the
            tensors alone.
        tensors: the first is (B, C, H, W), and its size decides about the strips; others are (B, C', H, W) or
            (B, H, W).

    Raises:
        ValueError: where batches or sizes differ.
    """
    if len({(len(x), *x.shape[-2:]) for x in tensors}) > 1:
        raise ValueError(f"batch and size must agree, not {' and '.join(str(tuple(x.shape)) for x in tensors)}")
    largest = CPU_STRIP if tensors[0].device.type == "cpu" else DEVICE_STRIP
    if tensors[0].numel() <= largest:
        return function(*tensors)
    return _ByStrips.apply(function, _strips(tensors[0].shape, largest), *tensors)


def _strips(shape: torch.Size, largest: int) -> list[Strip]:
    batch, channels, height, width = shape
    rows = max(1, largest // (channels * width))
    return [
        (slice(image, image + 1), ..., slice(row, row + rows), slice(None))
        for image in range(batch)
        for row in range(0, height, rows)
    ]


class _ByStrips(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Callable[..., Tensor], strips: list[Strip], *tensors: Tensor) -> Tensor:
        ctx.function, ctx.strips = function, strips
        ctx.save_for_backward(*tensors)
        first = function(*(x[strips[0]] for x in tensors))
        result = first.new_empty(len(tensors[0]), *tensors[0].shape[2:])
        result[strips[0]] = first
        for strip in strips[1:]:
            result[strip] = function(*(x[strip] for x in tensors))
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors, wanted = ctx.saved_tensors, ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # create_graph
            inputs = [x for x, want in zip(tensors, wanted, strict=True) if want]
            found = iter(torch.autograd.grad(ctx.function(*tensors), inputs, gradient, create_graph=True))
            return None, None, *(next(found) if want else None for want in wanted)
        gradients = [torch.empty_like(x) if want else None for x, want in zip(tensors, wanted, strict=True)]
        for strip in ctx.strips:
            parts = [x[strip].detach().requires_grad_(want) for x, want in zip(tensors, wanted, strict=True)]
            with torch.enable_grad():
                result = ctx.function(*parts)
            result.backward(gradient[strip], inputs=[part for part in parts if part.requires_grad])
            for whole, part in zip(gradients, parts, strict=True):
                if whole is not None:
                    whole[strip] = part.grad
        return None, None, *gradients
