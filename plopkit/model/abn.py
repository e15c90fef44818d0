"""Activated batch normalisation in plain torch: batch norm and leaky ReLU as inplace-abn defines them."""

from typing import TYPE_CHECKING, Any, Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from plopkit.model.synchronised import Running, processes, synchronised
from plopkit.support.moved import renamed

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


Activation = Literal["leaky_relu", "identity"]


class Activated:
    """What ABN and inplace-abn's layer have in common: a batch norm scaled by `|weight| + eps`, then an activation."""

    activation: str
    slope: float
    eps: float

    @property
    def scale(self: Any) -> Float[Tensor, " C"]:
        """What the normalised input is multiplied by, by channel."""
        return self.weight.abs() + self.eps


class ABN(Activated, nn.BatchNorm2d):
    """Batch norm scaled by `|weight| + eps`, then a leaky ReLU or nothing.

    `y = φ((x − μ) / √(σ² + ε) · (|γ| + ε) + β)`. The absolute value is inplace-abn's (Rota Bulò et al., CVPR 2018): a
    plain batch norm with the same negative weights is a different network. With several processes under
    torch.distributed, the statistics are those of all their batches together.

    Args:
        channels: number of channels C of the input (B, C, H, W); the output has the same shape.
        activation: "leaky_relu" or "identity".
        slope: slope of the leaky ReLU for negative values.

    Raises:
        ValueError: for another activation.
    """

    def __init__(self, channels: int, activation: Activation = "leaky_relu", slope: float = 0.01):
        super().__init__(channels, eps=1e-5, momentum=0.1)
        if activation not in ("leaky_relu", "identity"):
            raise ValueError(f"activation is 'leaky_relu' or 'identity', not {activation!r}")
        self.activation = activation
        self.slope = slope

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        self._check_input_dim(input)
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        momentum = self.momentum or 0.0
        if self.training and processes() > 1:
            assert self.running_mean is not None and self.running_var is not None
            running = Running(self.running_mean, self.running_var, momentum)
            x = synchronised(input, self.scale, self.bias, running, self.eps)
        else:
            x = F.batch_norm(
                input, self.running_mean, self.running_var, self.scale, self.bias, self.training, momentum, self.eps
            )
        # In place, since a batch norm's gradient needs its input, not its output: one map less is kept.
        return F.leaky_relu(x, self.slope, inplace=True) if self.activation == "leaky_relu" else x
