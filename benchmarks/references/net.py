"""The published net, channels first: ResNet with activated batch norm, DeepLabV3's head, a classifier per step.

Parameters have the names of the published checkpoints, so plopkit's weights fit under `published_state`.
"""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
WIDTHS = (64, 128, 256, 512)
SLOPE = 0.01

Norm = Callable[..., nn.Module]


class PlainABN(nn.BatchNorm2d):
    """Batch norm, then a leaky ReLU in place: the published form without inplace-abn.

    Scaled by |weight| + eps, so that the net is the same as with inplace-abn.
    """

    def __init__(self, channels: int, activation: str = "leaky_relu", activation_param: float = SLOPE):
        super().__init__(channels)
        self.activation, self.slope = activation, activation_param

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.num_batches_tracked.add_(1)
        scale = self.weight.abs() + self.eps
        statistics = (self.running_mean, self.running_var)
        x = F.batch_norm(x, *statistics, scale, self.bias, self.training, self.momentum, self.eps)
        return F.leaky_relu(x, self.slope, inplace=True) if self.activation == "leaky_relu" else x


def norm_of(kind: str) -> Norm:
    """`PlainABN` for "abn"; for "iabn" inplace-abn's layer, the published form; ImportError where it is not built."""
    if kind == "abn":
        return PlainABN
    from inplace_abn import InPlaceABN

    return partial(InPlaceABN, activation_param=SLOPE)


class Block(nn.Module):
    """A bottleneck; the sum before the activation and the sum after it."""

    def __init__(self, channels: int, width: int, stride: int, dilation: int, norm: Norm, last: bool):
        super().__init__()
        out = 4 * width
        self.last = last
        self.convs = nn.Sequential(
            OrderedDict(
                conv1=nn.Conv2d(channels, width, 1, bias=False),
                bn1=norm(width),
                conv2=nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False),
                bn2=norm(width),
                conv3=nn.Conv2d(width, out, 1, bias=False),
                bn3=norm(out, activation="identity"),
            )
        )
        if stride != 1 or channels != out:
            self.proj_conv = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.proj_bn = norm(out, activation="identity")

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shortcut = self.proj_bn(self.proj_conv(x)) if hasattr(self, "proj_conv") else x
        total = self.convs(x) + shortcut
        # POD reads the sum of a stage's last block, so only there the activation makes a copy.
        return total, F.leaky_relu(total, SLOPE, inplace=not self.last)


class Body(nn.Module):
    """The ResNet at output stride 16: the maps that POD compares, and the activated last one."""

    def __init__(self, name: str, norm: Norm):
        super().__init__()
        self.mod1 = nn.Sequential(OrderedDict(conv1=nn.Conv2d(3, 64, 7, 2, 3, bias=False), bn1=norm(64)))
        channels = 64
        for stage, count in enumerate(BLOCKS[name]):
            width, dilation = WIDTHS[stage], 2 if stage == 3 else 1
            blocks = OrderedDict()
            for index in range(count):
                stride = 2 if index == 0 and stage in (1, 2) else 1
                blocks[f"block{index + 1}"] = Block(channels, width, stride, dilation, norm, index == count - 1)
                channels = 4 * width
            setattr(self, f"mod{stage + 2}", nn.Sequential(blocks))

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        x, maps = F.max_pool2d(self.mod1(image), 3, 2, 1), []
        for stage in (self.mod2, self.mod3, self.mod4, self.mod5):
            for block in stage:
                total, x = block(x)
            maps.append(total)
        return maps, x


class Head(nn.Module):
    """DeepLabV3's pyramid of dilated convolutions, as published."""

    def __init__(self, channels: int, norm: Norm, width: int = 256):
        super().__init__()
        convolutions = [nn.Conv2d(channels, width, 1, bias=False)]
        convolutions += [nn.Conv2d(channels, width, 3, padding=d, dilation=d, bias=False) for d in (6, 12, 18)]
        self.map_convs = nn.ModuleList(convolutions)
        self.map_bn = norm(4 * width)
        self.global_pooling_conv = nn.Conv2d(channels, width, 1, bias=False)
        self.global_pooling_bn = norm(width)
        self.red_conv = nn.Conv2d(4 * width, width, 1, bias=False)
        self.pool_red_conv = nn.Conv2d(width, width, 1, bias=False)
        self.red_bn = norm(width)

    def forward(self, x: Tensor) -> Tensor:
        out = self.red_conv(self.map_bn(torch.cat([convolution(x) for convolution in self.map_convs], dim=1)))
        if self.training:
            pooled = x.reshape(x.size(0), x.size(1), -1).mean(dim=-1)[:, :, None, None]
        else:  # a window of 32 x 32, which covers the map of a 512 crop
            window = tuple(min(32, side) for side in x.shape[2:])
            pooled = F.avg_pool2d(x, window, stride=1)
            rest = [side - 1 for side in window]
            pad = (rest[1] // 2, rest[1] - rest[1] // 2, rest[0] // 2, rest[0] - rest[0] // 2)
            pooled = F.pad(pooled, pad, mode="replicate")
        pooled = self.pool_red_conv(self.global_pooling_bn(self.global_pooling_conv(pooled)))
        if self.training:
            pooled = pooled.repeat(1, 1, x.size(2), x.size(3))
        out += pooled
        return self.red_bn(out)


class PlainOutput(NamedTuple):
    """What the losses look at."""

    logits: Tensor
    small: Tensor
    maps: list[Tensor]


class PlainNet(nn.Module):
    """The published segmentation net.

    Args:
        name: "resnet50" or "resnet101".
        classes: channels of each step's classifier.
        norm: "abn" or "iabn".
    """

    def __init__(self, name: str, classes: Sequence[int], norm: str):
        super().__init__()
        layer = norm_of(norm)
        self.body = Body(name, layer)
        self.head = Head(4 * WIDTHS[-1], layer)
        self.cls = nn.ModuleList([nn.Conv2d(256, count, 1) for count in classes])

    def forward(self, image: Tensor) -> PlainOutput:
        maps, x = self.body(image)
        head = self.head(x)
        small = torch.cat([classifier(head) for classifier in self.cls], dim=1)
        return PlainOutput(upsampled(small, image.shape[-2:]), small, [*maps, head])


def upsampled(small: Tensor, size: Sequence[int]) -> Tensor:
    """Logits at the image's size."""
    return F.interpolate(small, size=tuple(size), mode="bilinear", align_corners=False)


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """The cross-entropy of every pixel, 0 where ignored."""
    return F.cross_entropy(logits, target, ignore_index=255, reduction="none")
