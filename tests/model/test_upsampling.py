"""Upsampling against torch's own: values, gradients, type and layout."""

import pytest
import torch
import torch.nn.functional as F

from plopkit.model import upsampling
from plopkit.model.upsampling import upsample


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["channels-first", "-last"])
@pytest.mark.parametrize(
    ("shape", "size"),
    [((2, 3, 4, 6), (64, 96)), ((1, 5, 3, 2), (17, 5)), ((1, 1, 1, 1), (8, 8)), ((1, 2, 6, 9), (4, 3))],
)
def test_it_is_bilinear_interpolation(
    shape: tuple[int, ...], size: tuple[int, int], layout: torch.memory_format
) -> None:
    small = torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=layout)
    small.requires_grad_()
    found = upsample(small, size)
    expected = F.interpolate(small, size, mode="bilinear", align_corners=False)
    assert found.is_contiguous()
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6)
    weight = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    gradients = (torch.autograd.grad(logits, small, weight)[0] for logits in (found, expected))
    torch.testing.assert_close(*gradients, rtol=1e-5, atol=1e-4)


def test_the_gradient_on_a_gpu_is_that_of_interpolation() -> None:
    """A GPU interpolates with torch, and only the gradient is written by hand."""
    small = torch.randn(2, 3, 4, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64, requires_grad=True)
    found = upsampling._Upsample.apply(small, (9, 24))
    assert torch.equal(found, F.interpolate(small, (9, 24), mode="bilinear", align_corners=False))
    assert torch.autograd.gradcheck(upsampling._Upsample.apply, (small, (9, 24)))
    assert torch.autograd.gradgradcheck(upsampling._Upsample.apply, (small, (5, 7)))


def test_it_computes_in_float32_or_better() -> None:
    small = torch.randn(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    half = small.bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = upsample(half, (32, 32))
        assert torch.equal(upsample(small, (32, 32)), upsample(small.clone(), (32, 32)))
    assert found.dtype == torch.float32
    assert torch.equal(found, upsample(half.float(), (32, 32)))
    assert upsample(small.double(), (32, 32)).dtype == torch.float64


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore::torch.jit.TracerWarning")
def test_a_traced_net_upsamples_to_any_size() -> None:
    def to_image(small: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        return upsample(small, image.shape[2:])

    traced = torch.jit.trace(to_image, (torch.randn(1, 2, 4, 4), torch.zeros(1, 3, 64, 64)), check_trace=False)
    small, image = torch.randn(2, 2, 5, 3, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 3, 77, 48)
    torch.testing.assert_close(traced(small, image), upsample(small, (77, 48)), rtol=1e-5, atol=1e-5)
