"""Compute functions of single pixels chunk by chunk, because intermediate results of whole batches are large.

On a CPU, the intermediate results of a chunk stay in the cache, and each chunk uses their memory again; those of a
whole batch go through main memory, in pages that the system maps anew in every iteration. On other devices chunks are
so large that only batches with very many channels are cut, which limits their memory.
"""

from collections.abc import Callable
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

    The gradient is computed in the same way. For it, only the arguments are kept: ``function`` is computed again. A
    gradient that is to be differentiated itself (``create_graph``) is computed as a whole.

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
    return _ByChunks.apply(function, _chunks(tensors[0].shape, largest), *tensors)


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
    def forward(ctx: Any, function: Callable[..., Tensor], chunks: list[Chunk], *tensors: Tensor) -> Tensor:
        ctx.function, ctx.chunks = function, chunks
        ctx.save_for_backward(*tensors)
        first = function(*(x[chunks[0]] for x in tensors))
        result = first.new_empty(len(tensors[0]), *tensors[0].shape[2:])
        result[chunks[0]] = first
        for chunk in chunks[1:]:
            result[chunk] = function(*(x[chunk] for x in tensors))
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        tensors, wanted = ctx.saved_tensors, ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():  # create_graph
            inputs = [x for x, want in zip(tensors, wanted, strict=True) if want]
            found = iter(torch.autograd.grad(ctx.function(*tensors), inputs, gradient, create_graph=True))
            return None, None, *(next(found) if want else None for want in wanted)
        gradients = [torch.empty_like(x) if want else None for x, want in zip(tensors, wanted, strict=True)]
        for chunk in ctx.chunks:
            parts = [x[chunk].detach().requires_grad_(want) for x, want in zip(tensors, wanted, strict=True)]
            with torch.enable_grad():
                result = ctx.function(*parts)
            result.backward(gradient[chunk], inputs=[part for part in parts if part.requires_grad])
            for whole, part in zip(gradients, parts, strict=True):
                if whole is not None:
                    whole[chunk] = part.grad
        return None, None, *gradients
