"""Convolutions and the norms that follow them: which belong together, what a norm scales by, and its activation."""

from typing import Any

import torch
from torch import Tensor, nn

import plopkit.support.torchvision_ops  # noqa: F401  (before timm, which imports torchvision)
from plopkit.model.abn import Activated
from plopkit.model.segmenter import Output, Segmenter

from timm.layers import BatchNormAct2d  # isort: skip

SIZE = 128
"""Side in pixels of the image that a net is looked at with."""


def noise_for(net: Segmenter) -> Tensor:
    """The image that a net is looked at with, (1, 3, 128, 128), always the same, on its device."""
    device = next(net.parameters()).device
    return torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(device)


def norms_after_convolutions(net: Segmenter, image: Tensor) -> tuple[list[tuple[str, str]], Output]:
    """Names of convolutions and of the norms whose input is their output, in the order of use, and the net's output."""
    made_by: dict[int, str] = {}
    alive: list[Tensor] = []  # so that no two outputs have the same id
    pairs: list[tuple[str, str]] = []

    def after_convolution(name: str) -> Any:
        def keep(module: nn.Module, arguments: Any, output: Tensor) -> None:
            made_by[id(output)] = name
            alive.append(output)

        return keep

    def before_norm(name: str) -> Any:
        def find(module: nn.Module, arguments: tuple[Tensor, ...]) -> None:
            if id(arguments[0]) in made_by:
                pairs.append((made_by.pop(id(arguments[0])), name))

        return find

    handles = []
    for name, module in net.named_modules():
        if type(module) is nn.Conv2d:
            handles.append(module.register_forward_hook(after_convolution(name)))
        elif scale_of(module) is not None:
            handles.append(module.register_forward_pre_hook(before_norm(name)))
    try:
        output = net(image)
    finally:
        for handle in handles:
            handle.remove()
    return pairs, output


def scale_of(norm: Any) -> Any:
    """What a norm multiplies the normalised input by, (C,); None for a module that is not a known norm."""
    if isinstance(norm, Activated):
        return norm.scale
    if type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm, BatchNormAct2d) and norm.track_running_stats:
        return norm.weight
    return None


def activation_of(norm: Any) -> nn.Module:
    """What a norm does after scaling and shifting."""
    if isinstance(norm, BatchNormAct2d):
        return norm.act
    if isinstance(norm, Activated) and norm.activation == "leaky_relu":
        return nn.LeakyReLU(norm.slope, inplace=True)
    return nn.Identity()


def set_activation(norm: Any, activation: nn.Module) -> None:
    """Let a norm do this after scaling and shifting, in place: what `activation_of` has returned, or nothing."""
    if isinstance(norm, BatchNormAct2d):
        norm.act = activation
    elif isinstance(norm, Activated):
        norm.activation = "leaky_relu" if isinstance(activation, nn.LeakyReLU) else "identity"
