"""Compute functions of single pixels chunk by chunk, because intermediate results of whole batches are large.

On a CPU, the intermediate results of a chunk stay in the cache, and each chunk uses their memory again; those of a
whole batch go through main memory, in pages that the system maps anew in every iteration. On other devices chunks are
so large that only batches with very many channels are cut, which limits their memory.
"""

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import Any

import torch
from torch import Tensor

CPU_CHUNK = 2**19
"""How many values a chunk has at most, if a row has less: 2 MB of float32."""
DEVICE_CHUNK = 2**27
"""The same on other devices: 512 MB."""

Chunk = tuple[slice, EllipsisType, slice, slice]
"""Some images, or some rows of one, as an index of (B, C, H, W) or (B, H, W)."""


def by_chunks(function: Callable[..., Tensor], *tensors: Tensor) -> Tensor:
    """The result of ``function(*tensors)``, computed for a few images, or some rows of one, at a time.

    The gradient is computed in the same way and at the same time, so that nothing is kept for it but the arguments and
    itself. A gradient that is to be differentiated itself (``create_graph``) is computed as a whole, later.

    Args:
        function: gives (b, h, W) for tensors of b images and h rows. The value of a pixel depends on this pixel of the
            tensors alone.
        tensors: the first is (B, C, H, W), and its size decides about the chunks; others are (B, C', H, W) or
            (B, H, W).

    Raises:
        ValueError: where batches or sizes differ.
    """
    if len({(len(x), *x.shape[-2:]) for x in tensors}) > 1:
        raise ValueError(f"batch and size must agree, not {' and '.join(str(tuple(x.shape)) for x in tensors)}")
    largest = CPU_CHUNK if tensors[0].device.type == "cpu" else DEVICE_CHUNK
    if tensors[0].numel() <= largest:
        return function(*tensors)
    differentiable = torch.is_grad_enabled() and any(x.requires_grad for x in tensors)
    return _ByChunks.apply(function, _chunks(tensors[0].shape, largest), differentiable, *tensors)


def _chunks(shape: torch.Size, largest: int) -> list[Chunk]:
    batch, channels, height, width = shape
    rows = min(height, max(1, largest // (channels * width)))
    images = max(1, largest // (channels * height * width))
    return [
        (slice(image, image + images), ..., slice(row, row + rows), slice(None))
        for image in range(0, batch, images)
        for row in range(0, height, rows)
    ]


class _ByChunks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, function: Callable[..., Tensor], chunks: list[Chunk], differentiable: bool, *tensors: Tensor
    ) -> Tensor:
        ctx.function, ctx.chunks, ctx.wanted = function, chunks, ctx.needs_input_grad[3:]
        ctx.save_for_backward(*tensors)
        result, ctx.gradients = _computed(function, chunks, tensors, ctx.wanted if differentiable else ())
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph
            inputs = [x for x, want in zip(tensors, ctx.wanted, strict=True) if want]
            found = iter(torch.autograd.grad(ctx.function(*tensors), inputs, gradient, create_graph=True))
            return None, None, None, *(next(found) if want else None for want in ctx.wanted)
        gradients, ctx.gradients = ctx.gradients, None
        if gradients is None:  # this is not the first time (retain_graph)
            gradients = _computed(ctx.function, ctx.chunks, tensors, ctx.wanted)[1]
        for own in gradients:
            if own is not None:
                own.mul_(gradient.unsqueeze(1) if own.ndim > gradient.ndim else gradient)
        return None, None, None, *gradients


def _computed(
    function: Callable[..., Tensor], chunks: list[Chunk], tensors: Sequence[Tensor], wanted: Sequence[bool]
) -> tuple[Tensor, list[Tensor | None] | None]:
    """The result, and the gradient of its sum for the tensors that are wanted; None if none is.

    A pixel's value depends on this pixel alone, so the gradient for any other sum is this one, weighted by pixel.
    """
    result: Tensor | None = None
    gradients: list[Tensor | None] | None = None
    if any(wanted):
        gradients = [torch.empty_like(x) if want else None for x, want in zip(tensors, wanted, strict=True)]
    for chunk in chunks:
        parts = [x[chunk] for x in tensors]
        if gradients is not None:
            parts = [part.detach().requires_grad_(want) for part, want in zip(parts, wanted, strict=True)]
        with torch.set_grad_enabled(gradients is not None):
            found = function(*parts)
        if result is None:
            result = found.new_empty(len(tensors[0]), *tensors[0].shape[2:])
        result[chunk] = found.detach()
        if gradients is not None:
            if found.requires_grad:
                found.backward(torch.ones_like(found), inputs=[part for part in parts if part.requires_grad])
            for whole, part in zip(gradients, parts, strict=True):
                if whole is not None:
                    whole[chunk] = 0 if part.grad is None else part.grad
    assert result is not None  # the first tensor is larger than a chunk
    return result, gradients
