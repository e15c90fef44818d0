"""The network: encoder, ASPP head, and a classifier that grows with every step."""

import copy
import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from plopkit.model.abn import ABN, Norm, norm_of
from plopkit.model.encoders import Encoder
from plopkit.settings import Model
from plopkit.support.precision import at_least_float32

RELEASED_DILATIONS = {16: (6, 12, 18), 8: (12, 24, 32)}


class Output(NamedTuple):
    """All that a method may look at.

    logits: at the image's size; small: as the classifier gave them; features: the encoder's four stages, finest first,
    then the head's output.
    """

    logits: Float[Tensor, "B C H W"]
    small: Float[Tensor, "B C h w"]
    features: tuple[Tensor, ...]


class Head(nn.Module):
    """DeepLabV3's ASPP as CVPR2021_PLOP builds it: (B, channels, h, w) -> (B, width, h, w).

    pool: side of the pooling window at evaluation (32 there, the map of a 512 crop, so that a larger image is not
    pooled as a whole); None pools the whole map.
    """

    def __init__(
        self,
        channels: int,
        width: int = 256,
        dilations: Sequence[int] = (6, 12, 18),
        pool: int | None = 32,
        norm: Norm = ABN,
    ):
        super().__init__()
        if pool is not None and pool < 1:
            raise ValueError(f"the pooling window has at least one place a side, not {pool}; None pools the whole map")
        self.width, self.pool, self.dilations = width, pool, tuple(dilations)
        self.branches = nn.ModuleList([nn.Conv2d(channels, width, 1, bias=False)])
        for dilation in dilations:
            self.branches.append(nn.Conv2d(channels, width, 3, padding=dilation, dilation=dilation, bias=False))
        joined = width * len(self.branches)
        self.branches_norm = norm(joined, "leaky_relu")
        self.reduce = nn.Conv2d(joined, width, 1, bias=False)
        self.pool_conv = nn.Conv2d(channels, width, 1, bias=False)
        self.pool_norm = norm(width, "leaky_relu")
        self.pool_reduce = nn.Conv2d(width, width, 1, bias=False)
        self.norm = norm(width, "leaky_relu")
        gain = nn.init.calculate_gain("leaky_relu", 0.01)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight, gain)

    def forward(self, x: Tensor) -> Tensor:
        local = self.reduce(self.branches_norm(torch.cat([branch(x) for branch in self.branches], 1)))
        pooled = self.pool_reduce(self.pool_norm(self.pool_conv(self._pooled(x))))
        return self.norm(local + pooled)

    def _pooled(self, x: Tensor) -> Tensor:
        """The mean over the map, or, at evaluation with a window, over the window around each place."""
        if self.training or self.pool is None:
            return x.mean((2, 3), keepdim=True)
        height, width = x.shape[2:]
        window = (min(self.pool, height), min(self.pool, width))
        x = F.avg_pool2d(x, window, stride=1)
        rest_h, rest_w = window[0] - 1, window[1] - 1
        return F.pad(x, (rest_w // 2, rest_w - rest_w // 2, rest_h // 2, rest_h - rest_h // 2), mode="replicate")


class Segmenter(nn.Module):
    """``net(image) -> Output``. One 1x1 classifier per step; ``classes`` are their numbers of channels.

    dilations: of the head's branches; none given are the released ones for the encoder's stride. pool: as in `Head`.
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: Sequence[int] = (16,),
        width: int = 256,
        dilations: Sequence[int] = (),
        pool: int | None = 32,
        norm: str = "abn",
    ):
        super().__init__()
        if not classes or min(classes) < 1:
            raise ValueError(f"classes are the channels of each classifier, at least one, not {tuple(classes)}")
        self.encoder = encoder
        chosen = tuple(dilations) or RELEASED_DILATIONS.get(encoder.output_stride, (1, 2, 3))
        self.head = Head(encoder.channels[-1], width, chosen, pool, norm_of(norm))
        self.classifiers = nn.ModuleList([nn.Conv2d(width, n, 1) for n in classes])

    @property
    def classes(self) -> tuple[int, ...]:
        """Channels of each step's classifier."""
        return tuple(c.out_channels for c in self.classifiers)  # type: ignore[misc]

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> Output:
        stages = self.encoder(image)
        last = self.head(self.encoder.activate(stages[-1]))
        small = torch.cat([classifier(last) for classifier in self.classifiers], 1)
        logits = F.interpolate(at_least_float32(small), image.shape[2:], mode="bilinear", align_corners=False)
        return Output(logits, small, (*stages, last))

    def grown(self, n_new: int, balanced: bool = True) -> Self:
        """A copy with one more classifier of ``n_new`` channels. What was frozen is frozen in the copy.

        balanced: MiB's initialisation (Cermelli et al., CVPR 2020, eq. 10): every new channel takes the background's
        weight and its bias - ln(n_new + 1), and so does the background itself. The background's probability is shared
        out evenly and every old class keeps its own exactly.
        """
        if n_new < 1:
            raise ValueError(f"a step adds at least one channel, not {n_new}")
        net = copy.deepcopy(self)
        first: nn.Conv2d = net.classifiers[0]  # type: ignore[assignment]
        new = nn.Conv2d(first.in_channels, n_new, 1).to(first.weight)
        if balanced:
            with torch.no_grad():
                assert first.bias is not None and new.bias is not None
                first.bias[0] -= math.log(n_new + 1)
                new.weight.copy_(first.weight[:1].expand_as(new.weight))
                new.bias.copy_(first.bias[0].expand_as(new.bias))
        net.classifiers.append(new)
        return net

    def frozen(self) -> Self:
        """A copy that is never trained: evaluation mode, no gradients. The teacher of the next step."""
        return copy.deepcopy(self).eval().requires_grad_(False)


def segmenter_of(model: Model, classes: Sequence[int]) -> Segmenter:
    """The net that settings describe, with a classifier of so many channels for each step."""
    m = model
    encoder = Encoder(m.encoder, m.output_stride, m.weights, m.stages, m.norm, m.slope)
    return Segmenter(encoder, classes, m.width, m.dilations, m.pool, m.norm)
