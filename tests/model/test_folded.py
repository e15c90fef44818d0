"""A net with folded norms gives what the net gives; a net that cannot be folded stays as it is."""

from collections.abc import Sequence
from typing import Any, Self

import pytest
import torch
from required import inplace_abn
from torch import Tensor, nn

from plopkit.model.decoder import Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.folded import folded
from plopkit.model.layout import memory_format_of
from plopkit.model.norms import Norm
from plopkit.model.segmenter import Output, Segmenter


def net_with(encoder: Encoder, norm: str = "abn") -> Segmenter:
    """A net with statistics, scales and shifts unlike those of a new one, some scales below zero."""
    net = Segmenter(encoder, (4, 2), 16, (1, 2), None, norm)
    generator = torch.Generator().manual_seed(0)
    for module in net.modules():
        if getattr(module, "running_mean", None) is not None:
            n = len(module.running_mean)
            module.running_mean.copy_(torch.randn(n, generator=generator) / 4)
            module.running_var.copy_(0.5 + torch.rand(n, generator=generator))
            module.weight.data = torch.randn(n, generator=generator)
            module.bias.data = torch.randn(n, generator=generator) / 4
    return net.eval()


def check_equal(found: Output, expected: Output) -> None:
    for a, b in zip((found.logits, *found.features), (expected.logits, *expected.features), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(b.abs().max()))


def norms_of(net: nn.Module) -> int:
    return sum(hasattr(module, "running_mean") for module in net.modules())


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_lite0", "timm/resnet18"])
@torch.no_grad()
def test_a_folded_net_gives_the_same_maps(name: str) -> None:
    net = net_with(Encoder(name))
    before = {key: value.clone() for key, value in net.state_dict().items()}
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    expected = net(images)
    found = folded(net)
    check_equal(found(images), expected)
    assert norms_of(net) > 15 and norms_of(found) == 2  # of the decoder's sum and of its pooled branch
    assert not found.training and not any(p.requires_grad for p in found.parameters())
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    check_equal(net(images), expected)


@torch.no_grad()
def test_inplace_abn_is_folded_and_the_rest_laid_out_in_channels_last() -> None:
    inplace_abn()
    net = net_with(Encoder("resnet18", norm="iabn"), norm="iabn")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    found = folded(net)
    check_equal(found(images), net(images))
    assert norms_of(found) == 2
    assert memory_format_of(net) is torch.contiguous_format
    assert found(images).stages[0].is_contiguous(memory_format=torch.channels_last)


class Twice(Decoder, kind="twice"):
    """Uses its convolution's output before and after its norm."""

    @classmethod
    def build(cls, channels: Sequence[int], norm: Norm, **recipe: Any) -> Self:
        return cls()

    def recipe(self) -> dict[str, Any]:
        return {"kind": self.kind}

    def __init__(self) -> None:
        super().__init__()
        self.convolution, self.norm = nn.Conv2d(512, 16, 3, padding=1), nn.BatchNorm2d(16)
        self.norm.running_var.fill_(0.1)

    def forward(self, x: Tensor) -> Tensor:
        map = self.convolution(x)
        return map + self.norm(map)


@torch.no_grad()
def test_a_net_that_uses_a_convolution_twice_is_not_folded() -> None:
    net = net_with(Encoder("resnet18"))
    net.decoder = Twice().eval()
    images = torch.randn(1, 3, 64, 64)
    found = folded(net)
    assert norms_of(found) == norms_of(net)
    check_equal(found(images), net(images))


@torch.no_grad()
def test_hooks_do_not_stay() -> None:
    net = net_with(Encoder("resnet18"))
    folded(net)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in net.modules())
