"""ReLU6 that keeps its output: the numbers of torch's, and one map less."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plopkit.model.activations import ReLU6
from plopkit.model.encoders import Encoder


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_output_and_gradient_are_those_of_torch(layout: torch.memory_format) -> None:
    x = 8 * torch.randn(2, 5, 7, 7, generator=torch.Generator().manual_seed(0)).to(memory_format=layout)
    x[0, 0, 0, :3] = torch.tensor([0.0, 6.0, float("nan")])
    outer = torch.randn_like(x)
    results = []
    for function in (ReLU6(), F.relu6):
        leaf = x.clone().requires_grad_()
        y = function(leaf * 1)
        results.append((y, *torch.autograd.grad(y, leaf, outer)))
    for found, expected in zip(*results, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
        assert found.stride() == expected.stride()


def test_it_works_in_place_and_keeps_its_output_alone() -> None:
    x = torch.randn(2, 3, 4, 4).requires_grad_() * 1
    kept: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        y = ReLU6()(x)
    assert y.data_ptr() == x.data_ptr()
    assert [t.data_ptr() for t in kept] == [y.data_ptr()]
    with torch.no_grad():
        assert ReLU6()(x.detach()).data_ptr() == x.data_ptr()


def test_efficientnets_have_it() -> None:
    encoder = Encoder("efficientnet_lite0")
    assert not any(type(module) is nn.ReLU6 for module in encoder.modules())
    assert sum(type(module) is ReLU6 for module in encoder.modules()) > 20
