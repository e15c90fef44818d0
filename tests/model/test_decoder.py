"""ASPP: its pooling window, and the released head's arithmetic."""

import pytest
import torch
import torch.nn.functional as F
from comparing import close
from drawing import draw
from torch import Tensor, nn

from plopkit.model.abn import ABN
from plopkit.model.decoder import ASPP


def with_random_norms(decoder: ASPP) -> ASPP:
    """Give all norms weights of either sign and random statistics: new ones hide mistakes."""
    for index, module in enumerate(decoder.modules()):
        if isinstance(module, nn.BatchNorm2d):
            values = draw(index, 4, module.num_features)
            module.weight.data, module.bias.data = values[0], 0.1 * values[1]
            module.running_mean, module.running_var = 0.1 * values[2], 0.5 + values[3].abs()
    return decoder


def output_with_pooled(decoder: ASPP, x: Tensor, pooled: Tensor) -> Tensor:
    """The decoder's output, with `pooled` as the pooled map."""
    local = decoder.reduce(decoder.branches_norm(torch.cat([branch(x) for branch in decoder.branches], 1)))
    return decoder.norm(local + decoder.pool_reduce(decoder.pool_norm(decoder.pool_conv(pooled))))


def plain_window(x: Tensor, side: int) -> Tensor:
    """The mean over a window of this side around each pixel; near the edge, over the nearest window that fits."""
    height, width = x.shape[2:]
    h, w = min(side, height), min(side, width)
    means = torch.zeros_like(x)
    for i in range(height):
        for j in range(width):
            top = min(max(i - (h - 1) // 2, 0), height - h)
            left = min(max(j - (w - 1) // 2, 0), width - w)
            means[:, :, i, j] = x[:, :, top : top + h, left : left + w].mean((2, 3))
    return means


@pytest.mark.parametrize("pool", [None, 3, 6, 100])
def test_training_pools_the_whole_map(pool: int | None) -> None:
    decoder, x = with_random_norms(ASPP(8, 4, (1,), pool)), draw(0, 2, 8, 6, 7)
    close(decoder(x), output_with_pooled(decoder, x, x.mean((2, 3), keepdim=True)))


@pytest.mark.parametrize("pool", [1, 2, 3, 4, 6, 7])
def test_evaluation_pools_a_window(pool: int) -> None:
    decoder, x = with_random_norms(ASPP(8, 4, (1,), pool)).eval(), draw(0, 2, 8, 6, 7)
    close(decoder(x), output_with_pooled(decoder, x, plain_window(x, pool)))


@pytest.mark.parametrize("pool", [None, 7, 32])
def test_a_map_within_the_window_is_pooled_as_a_whole(pool: int | None) -> None:
    decoder, x = with_random_norms(ASPP(8, 4, (1,), pool)).eval(), draw(0, 2, 8, 6, 7)
    close(decoder(x), output_with_pooled(decoder, x, x.mean((2, 3), keepdim=True)))


def test_the_window_changes_the_output_of_larger_maps_only() -> None:
    decoders = [with_random_norms(ASPP(8, 4, (1, 2), pool)).eval() for pool in (None, 4)]
    decoders[1].load_state_dict(decoders[0].state_dict())
    small, large = draw(0, 1, 8, 4, 4), draw(0, 1, 8, 9, 9)
    close(decoders[0](small), decoders[1](small))
    assert (decoders[0](large) - decoders[1](large)).abs().max() > 0.01


def test_the_arithmetic_is_that_of_the_released_head() -> None:
    """Parallel convolutions, a norm over all of them, 1x1; plus the pooled branch; then a norm."""
    decoder, x = with_random_norms(ASPP(8, 4, (1, 2))).eval(), draw(0, 2, 8, 6, 6)
    kernels = [branch.weight for branch in decoder.branches]
    maps = [F.conv2d(x, kernels[0]), F.conv2d(x, kernels[1], padding=1), F.conv2d(x, kernels[2], padding=2, dilation=2)]

    def norm(x: Tensor, layer: ABN) -> Tensor:
        per_channel = [v[:, None, None] for v in (layer.running_mean, layer.running_var, layer.weight, layer.bias)]
        mean, var, weight, bias = per_channel
        return F.leaky_relu((x - mean) / (var + 1e-5).sqrt() * (weight.abs() + 1e-5) + bias, 0.01)

    local = F.conv2d(norm(torch.cat(maps, 1), decoder.branches_norm), decoder.reduce.weight)
    pooled = norm(F.conv2d(x.mean((2, 3), keepdim=True), decoder.pool_conv.weight), decoder.pool_norm)
    close(decoder(x), norm(local + F.conv2d(pooled, decoder.pool_reduce.weight), decoder.norm))
    assert all(not isinstance(m, nn.Conv2d) or m.bias is None for m in decoder.modules())


def test_a_window_without_a_pixel_is_refused() -> None:
    with pytest.raises(ValueError, match="the pooling window is at least 1 pixel wide, not 0; None pools the whole"):
        ASPP(8, 4, pool=0)


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore::torch.jit.TracerWarning")
@pytest.mark.parametrize("pool", [1, 4, 5, 32, None])
def test_a_traced_decoder_pools_at_any_size(pool: int | None) -> None:
    """The window is cut where the map is smaller, and moved at its edges."""
    decoder = ASPP(3, 8, (1,), pool).eval().requires_grad_(False)
    traced = torch.jit.trace(decoder, torch.randn(1, 3, 7, 6), check_trace=False)
    for size in ((7, 6), (1, 1), (3, 12), (40, 5), (33, 34)):
        maps = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(traced(maps), decoder(maps), rtol=1e-5, atol=1e-5)
