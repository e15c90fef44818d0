"""Pooled-cube distillation against the released code's numbers, plain loops, and identities."""

import math

import pytest
import torch
from drawing import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from released import later_case
from torch import Tensor

from plopkit import cube
from plopkit.pod import fold_new_into_background

CASES = pytest.mark.parametrize("case", ["voc_15_1", "odd"])
FACTORS = {"voc": (0.01, 0.0005), "ade": (5e-6, 5e-7)}


def maps_of(case: str) -> tuple[list[Tensor], list[Tensor]]:
    numbers = later_case("rcil", case)
    return tuple([numbers[f"{which}_{index}"] for index in range(6)] for which in ("new", "old"))  # type: ignore[return-value]


@CASES
@pytest.mark.parametrize("factors", FACTORS)
def test_the_released_numbers(case: str, factors: str) -> None:
    numbers, (new, old) = later_case("rcil", case), maps_of(case)
    for part in (cube.spatial_cube, cube.channel_cube, cube.pooled_cube):
        name = {"spatial_cube": "spatial", "channel_cube": "channel", "pooled_cube": "pooled_cube"}[part.__name__]
        found = part(new, old, *FACTORS[factors])
        torch.testing.assert_close(found, numbers[f"{name}_{factors}"], rtol=1e-5, atol=0)


@CASES
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_released_gradients(case: str, layout: torch.memory_format) -> None:
    numbers, (new, old) = later_case("rcil", case), maps_of(case)
    new = [x.to(memory_format=layout).requires_grad_() for x in new]
    cube.pooled_cube(new, old).backward()
    for index, x in enumerate(new):
        expected = numbers[f"pooled_cube_voc_gradient_{index}"]
        torch.testing.assert_close(x.grad, expected, rtol=1e-4, atol=1e-6 * float(expected.abs().max()))


def plain_pooled(x: Tensor, side: int) -> Tensor:
    """Means over windows of a map with zeros around it, by loops over the windows."""
    height, width = x.shape[2:]
    found = x.new_zeros(*x.shape[:2], height + 1, width + 1)
    for row in range(height + 1):
        for column in range(width + 1):
            top, left = row - side // 2, column - side // 2
            window = x[:, :, max(top, 0) : top + side, max(left, 0) : left + side]
            found[:, :, row, column] = window.sum((2, 3)) / side**2
    return found


def plain_over_channels(x: Tensor) -> Tensor:
    n = x.shape[1]
    return torch.stack([x[:, max(c - 1, 0) : min(c + 2, n)].sum(1) / 3 for c in range(n)], 1)


@settings(deadline=None, max_examples=25)
@given(shape=st.tuples(*(st.integers(1, most) for most in (3, 5, 9, 11))), seed=st.integers(0, 999))
def test_plain_loops(shape: tuple[int, int, int, int], seed: int) -> None:
    new, old = draw(seed, *shape), draw(seed + 1, *shape)
    difference = new.double() ** 2 - old.double() ** 2
    norms = [plain_pooled(difference, side).flatten(1).norm(dim=1).mean() for side in cube.SIDES]
    torch.testing.assert_close(cube.spatial_distance(new, old), torch.stack(norms).mean().float(), rtol=1e-5, atol=1e-6)
    channel = plain_over_channels(difference).flatten(1).norm(dim=1).mean()
    torch.testing.assert_close(cube.channel_distance(new, old), channel.float(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("distance", [cube.spatial_distance, cube.channel_distance])
def test_the_gradients_of_both_maps(distance) -> None:
    new, old = (draw(seed, 2, 4, 5, 7).double().requires_grad_() for seed in (1, 2))
    assert torch.autograd.gradcheck(distance, (new, old))
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(distance(new, old), new, create_graph=True)


def test_the_term_from_its_distances() -> None:
    new, old = maps_of("odd")
    n_old, n_seen = old[-1].shape[1], new[-1].shape[1]
    folded = [*new[:-1], fold_new_into_background(new[-1], n_old)]
    spatial = [cube.spatial_distance(x, y) for x, y in zip(folded, old, strict=True)]
    channel = [cube.channel_distance(x, y) for x, y in zip(new[:-1], old[:-1], strict=True)]
    total = (3 * sum(spatial[:5]) + 2 * spatial[5]) / 6 + (3 * sum(channel[:4]) + 2 * channel[4]) / 5
    expected = math.sqrt(n_seen / (n_seen - n_old)) * total
    torch.testing.assert_close(cube.pooled_cube(new, old, 3, 2), expected, rtol=1e-5, atol=0)


def test_equal_maps_give_0_without_a_gradient() -> None:
    x = draw(0, 2, 6, 5, 5).requires_grad_()
    for distance in (cube.spatial_distance, cube.channel_distance):
        found = distance(x, x.detach().clone())
        (gradient,) = torch.autograd.grad(found, x)
        assert found == 0 and gradient.abs().max() == 0


def test_squares_do_not_overflow_half_precision() -> None:
    new, old = (1000 * draw(seed, 1, 4, 6, 6) for seed in (1, 2))
    half = new.half().requires_grad_()
    found = cube.spatial_distance(half, old.half()) + cube.channel_distance(half, old.half())
    assert found.dtype == torch.float32 and found.isfinite()
    expected = cube.spatial_distance(half.detach().float(), old.half().float())
    torch.testing.assert_close(cube.spatial_distance(half, old.half()).detach(), expected)
    (1e-3 * found).backward()
    assert half.grad is not None and half.grad.dtype == torch.float16 and half.grad.isfinite().all()


def test_a_batch_that_is_pooled_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = draw(1, 5, 4, 6, 7), draw(2, 5, 4, 6, 7)

    def computed() -> tuple[Tensor, Tensor]:
        x = new.clone().requires_grad_()
        found = cube.spatial_distance(x, old)
        return found.detach(), torch.autograd.grad(found, x)[0]

    whole = computed()
    monkeypatch.setattr(cube, "TILE_ON_CPU", 2 * new[0].numel())
    for found, expected in zip(computed(), whole, strict=True):
        torch.testing.assert_close(found, expected)


def test_maps_that_do_not_fit_are_refused() -> None:
    new, old = maps_of("voc_15_1")
    with pytest.raises(ValueError, match="maps of one shape"):
        cube.pooled_cube([new[0], new[-1]], [old[1], old[-1]])
    with pytest.raises(ValueError, match="at least two, not 6 and 5"):
        cube.pooled_cube(new, old[1:])
    with pytest.raises(ValueError, match="the net has 16 channels, fewer than the teacher's 17"):
        cube.pooled_cube(old, new)
    assert cube.pooled_cube(old, old, 0.01, 0.0005) == 0  # no new channel: a step of other domains
