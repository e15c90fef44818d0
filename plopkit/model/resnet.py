"""ResNet-18, 34, 50 and 101 with activated batch norm, as MiB and PLOP use them (Rota Bulò et al., CVPR 2018).

Parameters are named as torchvision names its ResNets. A stage gives the sum of its last block *before* the activation:
that is the map that POD compares.
"""

from itertools import pairwise

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from plopkit.model.abn import Norm

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
BOTTLENECKS = ("resnet50", "resnet101")
WIDTHS = (64, 128, 256, 512)
DILATIONS = {32: (1, 1, 1, 1), 16: (1, 1, 1, 2), 8: (1, 1, 2, 4)}
"""Of each stage's 3x3 convolutions, by output stride. A dilated stage has stride 1."""


class Block(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3 and 1x1 to four times the width, plus the shortcut; no activation behind."""

    def __init__(self, channels: int, width: int, bottleneck: bool, stride: int, dilation: int, norm: Norm):
        super().__init__()
        out = 4 * width if bottleneck else width
        kernels = (1, 3, 1) if bottleneck else (3, 3)
        strided = kernels.index(3)
        for i, (kernel, (before, after)) in enumerate(
            zip(kernels, pairwise((channels, *[width] * (len(kernels) - 1), out)), strict=True)
        ):
            pad = dilation * (kernel // 2)
            step = stride if i == strided else 1
            conv = nn.Conv2d(before, after, kernel, step, pad, dilation if kernel > 1 else 1, bias=False)
            last = i == len(kernels) - 1
            self.add_module(f"conv{i + 1}", conv)
            self.add_module(f"bn{i + 1}", norm(after, "identity" if last else "leaky_relu"))
        self.depth = len(kernels)
        self.downsample = None
        if stride != 1 or channels != out:
            shortcut = nn.Conv2d(channels, out, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, norm(out, "identity"))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(1, self.depth + 1):
            y = self.get_submodule(f"bn{i}")(self.get_submodule(f"conv{i}")(y))
        return y + (x if self.downsample is None else self.downsample(x))


class ResNet(nn.Module):
    """``forward``: normalised images (B, 3, H, W) -> the four stages' sums before activation, finest first.

    output_stride: 32, 16 (stride 1 and dilation 2 in the last stage) or 8 (dilation 2 and 4 in the last two). slope: of
    the leaky ReLU, 0.01 as released; 0 makes it a plain ReLU.
    """

    def __init__(self, name: str, norm: Norm, output_stride: int = 16, slope: float = 0.01):
        super().__init__()
        if output_stride not in DILATIONS:
            raise ValueError(f"output_stride is 8, 16 or 32, not {output_stride}")
        bottleneck = name in BOTTLENECKS
        self.slope = slope
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = norm(64, "leaky_relu")
        channels = 64
        dilations = DILATIONS[output_stride]
        for i, (count, width, dilation) in enumerate(zip(BLOCKS[name], WIDTHS, dilations, strict=True)):
            stride = 2 if i and dilation == 1 else 1
            blocks = []
            for index in range(count):
                blocks.append(Block(channels, width, bottleneck, 1 if index else stride, dilation, norm))
                channels = 4 * width if bottleneck else width
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.channels = tuple(4 * width if bottleneck else width for width in WIDTHS)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, ...]:
        x = F.max_pool2d(self.bn1(self.conv1(image)), 3, 2, 1)
        sums = []
        for i in range(1, 5):
            *inner, last = self.get_submodule(f"layer{i}").children()
            for block in inner:
                x = F.leaky_relu(block(x), self.slope, inplace=True)
            sums.append(last(x))
            x = self.activate(sums[-1])
        return tuple(sums)

    def activate(self, x: Tensor) -> Tensor:
        """What follows a stage's sum."""
        return F.leaky_relu(x, self.slope)
