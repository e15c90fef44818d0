"""ResNet-18, 34, 50 and 101 with activated batch norm, as MiB and PLOP use them (Rota Bulò et al., CVPR 2018).

Parameters have torchvision's names. A stage returns the sum of its last block *before* the activation: the map that POD
compares.
"""

from typing import TYPE_CHECKING, Any

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from plopkit.model.norms import Norm
from plopkit.support.moved import renamed

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}
BOTTLENECKS = ("resnet50", "resnet101")
WIDTHS = (64, 128, 256, 512)
DILATIONS = {32: (1, 1, 1, 1), 16: (1, 1, 1, 2), 8: (1, 1, 2, 4)}
"""Dilation of each stage's 3x3 convolutions, by output stride. A dilated stage has stride 1."""


class BasicBlock(nn.Module):
    """Two 3x3 convolutions plus the shortcut, without an activation at the end."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int, dilation: int, norm: Norm):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, dilation, dilation, bias=False)
        self.bn1 = norm(width, "leaky_relu")
        self.conv2 = nn.Conv2d(width, width, 3, 1, dilation, dilation, bias=False)
        self.bn2 = norm(width, "identity")
        self.downsample = shortcut(channels, width, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x))))
        return y + (x if self.downsample is None else self.downsample(x))


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions to four times the width plus the shortcut, without an activation at the end."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int, dilation: int, norm: Norm):
        super().__init__()
        out = self.expansion * width
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = norm(width, "leaky_relu")
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = norm(width, "leaky_relu")
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = norm(out, "identity")
        self.downsample = shortcut(channels, out, stride, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn3(self.conv3(self.bn2(self.conv2(self.bn1(self.conv1(x))))))
        return y + (x if self.downsample is None else self.downsample(x))


def shortcut(channels: int, out: int, stride: int, norm: Norm) -> nn.Sequential | None:
    """The projection of a block's input to its output's shape; None where they are equal."""
    if stride == 1 and channels == out:
        return None
    return nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), norm(out, "identity"))


class ResNet(nn.Module):
    """Normalised images (B, 3, H, W) -> the four stages' sums before the activation, finest first.

    Args:
        name: a key of `BLOCKS`.
        norm: the normalisation layer's constructor (`plopkit.model.norms.norm_of`).
        output_stride: 32, 16 (stride 1 and dilation 2 in the last stage) or 8 (dilations 2 and 4 in the last two).
        slope: slope of the leaky ReLU; 0.01 as released, 0 for a plain ReLU.

    Raises:
        ValueError: for another output stride.
    """

    def __init__(self, name: str, norm: Norm, output_stride: int = 16, slope: float = 0.01):
        super().__init__()
        if output_stride not in DILATIONS:
            raise ValueError(f"output_stride is 8, 16 or 32, not {output_stride}")
        block: type[BasicBlock] | type[Bottleneck] = Bottleneck if name in BOTTLENECKS else BasicBlock
        self.slope, self.dilations = slope, DILATIONS[output_stride]
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = norm(64, "leaky_relu")
        channels = 64
        stages = []
        for i, (count, width) in enumerate(zip(BLOCKS[name], WIDTHS, strict=True)):
            dilation = DILATIONS[output_stride][i]
            stride = 2 if i and dilation == 1 else 1
            blocks = []
            for index in range(count):
                blocks.append(block(channels, width, 1 if index else stride, dilation, norm))
                channels = block.expansion * width
            stages.append(nn.Sequential(*blocks))
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = tuple(block.expansion * width for width in WIDTHS)

    def dilate_late(self) -> None:
        """Let the first block of a dilated stage keep the dilation of the stage before, in place, as torchvision's."""
        stages: list[Any] = [self.layer2, self.layer3, self.layer4]
        for stage, before, own in zip(stages, self.dilations[:-1], self.dilations[1:], strict=True):
            for module in stage[0].modules() if own > 1 else ():
                if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
                    module.dilation = module.padding = (before, before)

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, ...]:
        x = F.max_pool2d(self.bn1(self.conv1(image)), 3, 2, 1)
        sums: list[Tensor] = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            if sums:
                x = self.activate(sums[-1])
            *inner, last = stage.children()
            for block in inner:
                x = F.leaky_relu(block(x), self.slope, inplace=True)
            sums.append(last(x))
        return tuple(sums)

    def activate(self, x: Tensor) -> Tensor:
        """The activation that follows a stage's sum."""
        return F.leaky_relu(x, self.slope)
