"""Batch norm whose statistics are those of all processes under torch.distributed, whose batches may differ in size."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, distributed

HAVE_KERNELS = ("cuda", "xpu")
"""The types of devices for which torch has kernels of a synchronised batch norm."""


class Running(NamedTuple):
    """The statistics for evaluation, changed in place."""

    mean: Float[Tensor, " C"]
    var: Float[Tensor, " C"]
    momentum: float


def processes() -> int:
    """The number of processes that train together."""
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def synchronised(
    input: Float[Tensor, "B C H W"], scale: Float[Tensor, " C"], bias: Float[Tensor, " C"], running: Running, eps: float
) -> Float[Tensor, "B C H W"]:
    """`(x − μ) / √(σ² + ε) · scale + bias` with mean and variance over all processes; gradients flow between them.

    On a GPU by torch's own kernels, with one exchange forward and one backward; elsewhere written in tensors.
    """
    if input.device.type in HAVE_KERNELS:
        return _Kernels.apply(input, scale, bias, running, eps)
    return _in_tensors(input, scale, bias, running, eps)


class _Kernels(torch.autograd.Function):
    """As `torch.nn.SyncBatchNorm`, which also asks the device in every layer whether a process has no image: none is.

    The output is not kept for the gradient, so an activation may overwrite it.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, scale: Tensor, bias: Tensor, running: Running, eps: float) -> Tensor:
        input, channels = _dense(input), input.shape[1]
        mean, invstd = torch.batch_norm_stats(input, eps)
        count = mean.new_full((1,), input.numel() // channels)
        own = torch.cat([mean, invstd, count])
        everyone = [torch.empty_like(own) for _ in range(processes())]
        distributed.all_gather(everyone, own)
        means, invstds, counts = torch.stack(everyone).split([channels, channels, 1], dim=1)
        counts = counts.flatten()
        mean, invstd = torch.batch_norm_gather_stats_with_counts(
            input, means, invstds, *running, eps, counts.to(running.mean.dtype)
        )
        ctx.save_for_backward(input, scale, mean, invstd, counts.to(torch.int32))
        return torch.batch_norm_elemt(input, scale, bias, mean, invstd, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        input, scale, mean, invstd, counts = ctx.saved_tensors
        gradient = _dense(gradient)
        *sums, of_scale, of_bias = torch.batch_norm_backward_reduce(
            gradient, input, mean, invstd, scale, True, True, True
        )
        total = torch.stack(sums)
        distributed.all_reduce(total)
        dy, dy_xmu = total.unbind()
        of_input = torch.batch_norm_backward_elemt(gradient, input, mean, invstd, scale, dy, dy_xmu, counts)
        return of_input, of_scale, of_bias, None, None


def _dense(x: Tensor) -> Tensor:
    """In a layout that the kernels read: channels last, or contiguous."""
    return x if x.is_contiguous(memory_format=torch.channels_last) else x.contiguous()


def _in_tensors(input: Tensor, scale: Tensor, bias: Tensor, running: Running, eps: float) -> Tensor:
    x = input.float()
    channels = x.shape[1]
    count = x.new_tensor([x.numel() / channels])
    total = _AllReduce.apply(torch.cat([x.sum((0, 2, 3)), count]))
    mean = total[:channels] / total[-1]
    centred = x - mean[:, None, None]
    var = _AllReduce.apply(centred.square().sum((0, 2, 3))) / total[-1]
    with torch.no_grad():
        running.mean.lerp_(mean, running.momentum)
        running.var.lerp_(var * total[-1] / (total[-1] - 1), running.momentum)
    factor = scale * (var + eps).rsqrt()
    return torch.addcmul(bias[:, None, None], centred, factor[:, None, None]).to(input.dtype)


class _AllReduce(torch.autograd.Function):
    """The sum over all processes; gradients are summed too."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.clone()
        distributed.all_reduce(x)
        return x

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        gradient = gradient.clone()
        distributed.all_reduce(gradient)
        return gradient
