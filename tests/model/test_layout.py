"""The memory layout of a net: one place decides it, and every map follows it."""

from collections.abc import Callable

import pytest
import torch
from drawing import draw
from required import inplace_abn
from torch import nn

from plopkit.model.encoders import Encoder
from plopkit.model.layout import laid_out, memory_format_of
from plopkit.model.segmenter import Segmenter

Nets = Callable[..., Segmenter]


class Strided(nn.BatchNorm2d):
    """A norm that wants contiguous maps."""

    memory_format = torch.contiguous_format


def layouts(net: Segmenter) -> set[tuple[bool, bool]]:
    """Whether the weights and maps that are not the same in both layouts are contiguous, and channels last.

    Of images in both layouts, float32 and as loaders give them.
    """
    contiguous = draw(0, 2, 3, 64, 64)
    colours = (contiguous * 50 + 100).clamp(0, 255).to(torch.uint8)
    tensors = [*net.parameters()]
    for image in (contiguous, colours):
        tensors += [*net(image).features, *net(image.contiguous(memory_format=torch.channels_last)).features]
    distinct = [t for t in tensors if t.ndim == 4 and t.shape[1] > 1 and t.shape[2] > 1]
    assert len(distinct) > 8
    return {(t.is_contiguous(), t.is_contiguous(memory_format=torch.channels_last)) for t in distinct}


def test_a_net_is_channels_last(tiny_net: Nets) -> None:
    net = tiny_net(16, 5)
    assert layouts(net) == {(True, False)}
    assert layouts(laid_out(net)) == {(False, True)}
    assert layouts(net.grown(2)) == {(False, True)}


def test_the_encoder_s_norms_may_ask_for_another_layout(tiny_net: Nets) -> None:
    net = tiny_net(16, 5).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.decoder.norm = Strided(16)  # a layer of the decoder does not decide
    assert memory_format_of(net) == torch.channels_last
    net.encoder.net.bn1 = Strided(net.encoder.net.bn1.num_features)
    assert memory_format_of(net) == torch.contiguous_format
    assert layouts(laid_out(net)) == {(True, False)}


@pytest.mark.filterwarnings("default")  # the package's own imports
def test_inplace_abn_is_contiguous() -> None:
    inplace_abn()
    net = Segmenter(Encoder("resnet18", norm="iabn"), (16,), width=16, dilations=(1,), norm="iabn")
    assert layouts(laid_out(net)) == {(True, False)}
