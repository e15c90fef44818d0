"""Batch norms folded into the convolutions before them: the same net for inference, in less time and memory."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

import plopkit.support.torchvision_ops  # noqa: F401  (before timm, which imports torchvision)
from plopkit.model.abn import Activated
from plopkit.model.layout import laid_out
from plopkit.model.segmenter import Output, Segmenter

from timm.layers import BatchNormAct2d  # isort: skip

SIZE = 128
"""Side in pixels of the image that a net is looked at with."""
TOLERANCE = 1e-3
"""Largest difference between a map of the folded net and the net's own, relative to the map's largest value."""


def folded(net: Segmenter) -> Segmenter:
    """A copy for inference, in evaluation mode, without gradients, in which most norms are part of a convolution.

    A norm is folded if its input is the output of a convolution. ABN, inplace-abn's norm, torch's batch norm and timm's
    with an activation are known; others stay. inplace-abn's want contiguous maps, in which convolutions on CPUs are
    slow: a copy without them is laid out in channels last.

    The net is run with an image of noise, to find which norm follows which convolution, and the copy is compared with
    it.

    Returns:
        The copy; the net itself, frozen, where it has no norm to fold or uses a convolution's output elsewhere too, and
        on an NVIDIA GPU, where adding a convolution's bias takes twice as long as the norm.
    """
    copied = net.frozen()
    device = next(copied.parameters()).device
    if device.type == "cuda":
        return copied
    image = torch.randn(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        pairs, expected = _norms_after_convolutions(copied, image)
        if not pairs:
            return copied
        _fold(copied, pairs)
        found = laid_out(copied)(image)
    return copied if _agree(found, expected) else net.frozen()


def _norms_after_convolutions(net: Segmenter, image: Tensor) -> tuple[list[tuple[str, str]], Output]:
    """Names of convolutions and of the norms that follow them, and what the net gives."""
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
        elif _scale_of(module) is not None:
            handles.append(module.register_forward_pre_hook(before_norm(name)))
    try:
        output = net(image)
    finally:
        for handle in handles:
            handle.remove()
    return pairs, output


def _fold(net: Segmenter, pairs: list[tuple[str, str]]) -> None:
    """Fold each norm into its convolution, in place."""
    for convolution_name, norm_name in pairs:
        convolution: Any = net.get_submodule(convolution_name)
        norm: Any = net.get_submodule(norm_name)
        weight, bias = fuse_conv_bn_weights(
            convolution.weight,
            convolution.bias,
            norm.running_mean,
            norm.running_var,
            norm.eps,
            _scale_of(norm),
            norm.bias,
        )
        convolution.weight, convolution.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
        net.set_submodule(norm_name, _activation_of(norm))


def _scale_of(norm: Any) -> Any:
    """What a norm multiplies by, (C,); None for a module that is not a known norm."""
    if isinstance(norm, Activated):
        return norm.scale
    if type(norm) in (nn.BatchNorm2d, nn.SyncBatchNorm, BatchNormAct2d) and norm.track_running_stats:
        return norm.weight
    return None


def _activation_of(norm: Any) -> nn.Module:
    """What a norm does after scaling."""
    if isinstance(norm, BatchNormAct2d):
        return norm.act
    if isinstance(norm, Activated) and norm.activation == "leaky_relu":
        return nn.LeakyReLU(norm.slope, inplace=True)
    return nn.Identity()


def _agree(found: Output, expected: Output) -> bool:
    pairs = zip((found.small, *found.features), (expected.small, *expected.features), strict=True)
    return all(float((a - b).abs().max()) <= TOLERANCE * float(b.abs().max()) for a, b in pairs)
