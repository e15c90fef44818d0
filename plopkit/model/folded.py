"""Batch norms folded into the convolutions before them: the same net for inference, in less time and memory."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from plopkit.model.layout import laid_out
from plopkit.model.pairs import activation_of, noise_for, norms_after_convolutions, scale_of
from plopkit.model.segmenter import Output, Segmenter

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
        The copy; the net itself, frozen, where it has no norm to fold or uses a convolution's output elsewhere too, of
        a transformer, which has them in the decoder at most and may not take such an image, and on an NVIDIA GPU, where
        adding a convolution's bias takes twice as long as the norm.
    """
    copied = net.frozen()
    device = next(copied.parameters()).device
    if device.type == "cuda" or net.encoder.is_transformer:
        return copied
    image = noise_for(copied)
    with torch.no_grad(), torch.autocast(device.type, enabled=False):
        pairs, expected = norms_after_convolutions(copied, image)
        if not pairs:
            return copied
        _fold(copied, pairs)
        found = laid_out(copied)(image)
    return copied if _agree(found, expected) else net.frozen()


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
            scale_of(norm),
            norm.bias,
        )
        convolution.weight, convolution.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
        net.set_submodule(norm_name, activation_of(norm))


def _agree(found: Output, expected: Output) -> bool:
    pairs = zip((found.small, *found.features), (expected.small, *expected.features), strict=True)
    return all(float((a - b).abs().max()) <= TOLERANCE * float(b.abs().max()) for a, b in pairs)
