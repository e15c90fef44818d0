"""An activation in place that keeps nothing for its gradient but its output."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ReLU6(nn.Module):
    """min(max(x, 0), 6), in place.

    For the gradient torch's own keeps a copy of its input, a map more of every block. The output suffices: the gradient
    passes where it is strictly between 0 and 6, as the input is.
    """

    def forward(self, input: Tensor) -> Tensor:
        if input.requires_grad and torch.is_grad_enabled() and not torch.compiler.is_compiling():
            return _ReLU6.apply(input)
        return F.relu6(input, inplace=True)


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: Tensor) -> Tensor:
        output = input.clamp_(0, 6)
        ctx.mark_dirty(output)
        ctx.save_for_backward(output)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (output,) = ctx.saved_tensors
        return torch.ops.aten.hardtanh_backward(gradient, output, 0.0, 6.0)


def keep_outputs(net: nn.Module) -> None:
    """Replace torch's ReLU6 in place by `ReLU6`, in all of a net."""
    for module in net.modules():
        for name, child in module.named_children():
            if type(child) is nn.ReLU6 and child.inplace:
                setattr(module, name, ReLU6())
