"""Activated batch norm: batch norm and leaky ReLU as inplace-abn defines them, in plain torch."""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Activation = Literal["leaky_relu", "identity"]


class ABN(nn.BatchNorm2d):
    """Batch norm scaled by |weight| + eps, then leaky ReLU or nothing.

    The absolute value is inplace-abn's (Rota Bulò et al., CVPR 2018): a plain batch norm with the same negative weights
    is another network. Shape: (B, channels, H, W) in and out.
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
        scale = self.weight.abs() + self.eps
        x = F.batch_norm(
            input, self.running_mean, self.running_var, scale, self.bias, self.training, self.momentum or 0.0, self.eps
        )
        return F.leaky_relu(x, self.slope) if self.activation == "leaky_relu" else x
