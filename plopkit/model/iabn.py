"""inplace-abn's layer with ABN's signature: the same numbers and state dict in less memory."""

from typing import ClassVar

import torch
from inplace_abn import InPlaceABN
from inplace_abn.functions import inplace_abn, inplace_abn_sync
from jaxtyping import Float
from torch import Tensor, distributed

from plopkit.model.abn import Activated, Activation
from plopkit.model.synchronised import processes


class InPlace(Activated, InPlaceABN):
    """The package's InPlaceABN; its synchronised form with several processes under torch.distributed.

    It overwrites its input with its output (Rota Bulò et al., CVPR 2018). Shape: (B, channels, H, W) in and out.
    """

    memory_format: ClassVar[torch.memory_format] = torch.contiguous_format
    """The package's kernels walk through each channel's pixels, which are strided in channels last."""

    def __init__(self, channels: int, activation: Activation = "leaky_relu", slope: float = 0.01):
        super().__init__(channels, eps=1e-5, momentum=0.1, activation=activation, activation_param=slope)
        self.slope = slope

    def forward(self, input: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        momentum, training = self._get_momentum_and_training()
        arguments = (self.weight, self.bias, *self._get_running_stats(), training, momentum, self.eps)
        activation = (self.activation, self.activation_param)
        # The package needs input and weights of one dtype, and has no bf16 kernels.
        full = input.to(self.weight.dtype)
        if training and processes() > 1:
            if input.device.type == "cpu":  # the package has no CPU kernels for it
                raise ValueError("inplace-abn synchronises its statistics on GPUs only; use model.norm abn")
            return inplace_abn_sync(full, *arguments, *activation, distributed.group.WORLD).to(input.dtype)
        return inplace_abn(full, *arguments, *activation).to(input.dtype)
