"""The decoder: DeepLabV3's atrous spatial pyramid pooling (ASPP) as CVPR2021_PLOP builds it."""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from plopkit.model.abn import ABN
from plopkit.model.norms import Norm

RELEASED_DILATIONS = {16: (6, 12, 18), 8: (12, 24, 32)}
"""Dilations of the released code, by the encoder's output stride."""

USUAL_SLOPE = 0.01
"""Slope of the decoder's leaky ReLU, unless a method's own network has another."""


class Parallel(nn.ModuleList):
    """Convolutions of one map, their channels one after the other."""

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B D h w"]:
        return torch.cat([convolution(x) for convolution in self], 1)


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: (B, channels, h, w) -> (B, width, h, w).

    Args:
        channels: channels of the encoder's last map.
        width: channels of the output.
        dilations: dilations of the 3x3 branches.
        pool: side of the pooling window at evaluation, in pixels of the map (32 in the released code, the map of a 512
            crop, so that a larger image is not pooled as a whole); None pools the whole map.
        norm: the normalisation layer's constructor.
        dropout: probability with which a value of the output is left out in training, before the last convolution.
        last: whether a 3x3 convolution, a norm and an activation follow, as in DKD's network.

    Raises:
        ValueError: for a window without a pixel.
    """

    def __init__(
        self,
        channels: int,
        width: int = 256,
        dilations: Sequence[int] = (6, 12, 18),
        pool: int | None = 32,
        norm: Norm = ABN,
        dropout: float = 0.0,
        last: bool = False,
    ):
        super().__init__()
        if pool is not None and pool < 1:
            raise ValueError(f"the pooling window is at least 1 pixel wide, not {pool}; None pools the whole map")
        self.width, self.pool, self.dilations = width, pool, tuple(dilations)
        self.branches = Parallel([nn.Conv2d(channels, width, 1, bias=False)])
        for dilation in dilations:
            self.branches.append(nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=False))
        joined = width * len(self.branches)
        self.branches_norm = norm(joined, "leaky_relu")
        self.reduce = nn.Conv2d(joined, width, 1, bias=False)
        self.pool_conv = nn.Conv2d(channels, width, 1, bias=False)
        self.pool_norm = norm(width, "leaky_relu")
        self.pool_reduce = nn.Conv2d(width, width, 1, bias=False)
        self.norm = norm(width, "leaky_relu")
        self.last = nn.Sequential()
        if dropout:
            self.last.add_module("dropout", nn.Dropout(dropout))
        if last:
            self.last.add_module("conv", nn.Conv2d(width, width, 3, padding=1, bias=False))
            self.last.add_module("norm", norm(width, "leaky_relu"))
        gain = nn.init.calculate_gain("leaky_relu", 0.01)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight, gain)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B width h w"]:
        local = self.reduce(self.branches_norm(self.branches(x)))
        pooled = self.pool_reduce(self.pool_norm(self.pool_conv(self._pooled(x))))
        return self.last(self.norm(local + pooled))

    def recipe(self) -> dict[str, Any]:
        """The arguments that rebuild it, as plain values; "slope" stands for the norm's, where it is not 0.01."""
        parts: dict[str, Any] = dict(self.last.named_children())
        own = {"dropout": parts["dropout"].p} if "dropout" in parts else {}
        own |= {"last": True} if "conv" in parts else {}
        slope = getattr(self.norm, "slope", USUAL_SLOPE)  # a folded norm has none left
        own |= {"slope": slope} if slope != USUAL_SLOPE else {}
        return {"width": self.width, "dilations": list(self.dilations), "pool": self.pool} | own

    def _pooled(self, x: Tensor) -> Tensor:
        """The mean over the map or, at evaluation with a window, over the window around each pixel."""
        if self.training or self.pool is None:
            return x.mean((2, 3), keepdim=True)
        if torch.jit.is_tracing():
            return _window_means(x, self.pool)
        height, width = x.shape[2:]
        window = (min(self.pool, height), min(self.pool, width))
        x = F.avg_pool2d(x, window, stride=1)
        rest_h, rest_w = window[0] - 1, window[1] - 1
        return F.pad(x, (rest_w // 2, rest_w - rest_w // 2, rest_h // 2, rest_h - rest_h // 2), mode="replicate")


def _window_means(x: Tensor, side: int) -> Tensor:
    """As `ASPP._pooled` with a window, by operations that a traced net can repeat at any size: products of matrices.

    `avg_pool2d` would keep the window of the picture that it was traced with.
    """
    rows, columns = (_window_weights(x, n, side) for n in x.shape[2:])
    return rows @ x @ columns.T


def _window_weights(like: Tensor, n: Any, side: int) -> Tensor:
    """(n, n): the share of pixel j in the mean of the window around pixel i, which stays within the map."""
    at = torch.arange(n, device=like.device)
    window = torch.arange(1, side + 1, device=like.device)[:n].amax()  # the smaller of side and n
    first = torch.minimum((at - (window - 1) // 2).clamp(min=0), n - window)
    inside = (at[None] >= first[:, None]) & (at[None] < first[:, None] + window)
    return inside.to(like.dtype) / window.to(like.dtype)
