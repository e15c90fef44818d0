"""Local POD against the released code's numbers (to 1e-5 relative), plain loops, and identities."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from drawing import draw
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from plopkit import pod

CASES = ("voc_15_5", "voc_15_1_odd")
GOLDEN = np.load(Path(__file__).parent / "golden" / "pod.npz")


def golden(case: str, name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[f"{case}/{name}"])


def close(found: Tensor, expected: Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=atol)


def plain_regions(x: Tensor, scale: int) -> list[Tensor]:
    """The means over rows and columns of every region, (B, values) each, by loops."""
    height, width = x.shape[2:]
    side = width // scale
    found = []
    for top in range(0, scale * side, side):
        for left in range(0, scale * side, side):
            rows, columns = range(top, min(top + side, height)), range(left, left + side)
            values = []
            for channel in x.unbind(1):
                values += [torch.stack([channel[:, y, x] for x in columns]).mean(0) for y in rows]
            for channel in x.unbind(1):
                values += [torch.stack([channel[:, y, x] for y in rows]).mean(0) for x in columns]
            found.append(torch.stack(values, dim=1))
    return found


def plain_local_pod(x: Tensor, scales: tuple[int, ...]) -> Tensor:
    return torch.cat([region for scale in scales for region in plain_regions(x, scale)], dim=1)


def plop_term(case: str, on_maps: float, on_logits: float) -> Tensor:
    """PLOP's whole POD term: factors, square root of the classes over the new ones, mean over the maps."""
    small_old, small_new = golden(case, "small_logits_old"), golden(case, "small_logits_new")
    n_old, n = small_old.shape[1], small_new.shape[1]
    n_maps = sum(name.startswith(f"{case}/new_") for name in GOLDEN.files)
    terms = [on_maps * pod.pod_distance(golden(case, f"new_{i}"), golden(case, f"old_{i}")) for i in range(n_maps)]
    terms.append(on_logits * pod.pod_distance(pod.fold_new_into_background(small_new, n_old), small_old))
    return math.sqrt(n / (n - n_old)) * torch.stack(terms).mean()


@pytest.mark.parametrize("case", CASES)
def test_golden_embedding(case: str) -> None:
    for i in range(3):
        close(pod.local_pod(golden(case, f"new_{i}") ** 2), golden(case, f"local_pod_new_{i}"), atol=0)


@pytest.mark.parametrize("case", CASES)
def test_golden_term(case: str) -> None:
    close(plop_term(case, 0.01, 0.0005), golden(case, "pod_loss_plop"), atol=0)
    close(plop_term(case, 0.001, 0.00001), golden(case, "pod_loss_ade"), atol=0)


@st.composite
def shapes_and_scales(draw_from: st.DrawFn) -> tuple[tuple[int, int, int, int], tuple[int, ...]]:
    """A shape (B, C, H, W), also of high, wide and odd maps, and scales that fit it."""
    scales = draw_from(st.sampled_from([(1,), (2,), (3,), (1, 2), (4, 1), (1, 2, 3), (1, 2, 4)]))
    width = draw_from(st.integers(max(scales), 11))
    lowest = max((scale - 1) * (width // scale) + 1 for scale in scales)
    height = draw_from(st.integers(lowest, width + 4))
    return (draw_from(st.integers(1, 2)), draw_from(st.integers(1, 3)), height, width), scales


@settings(deadline=None, max_examples=40)
@given(case=shapes_and_scales(), seed=st.integers(0, 999))
def test_plain_loops(case: tuple[tuple[int, int, int, int], tuple[int, ...]], seed: int) -> None:
    shape, scales = case
    new, old = draw(seed, *shape), draw(seed + 1, *shape)
    close(pod.local_pod(new, scales), plain_local_pod(new.double(), scales).float())
    difference = plain_local_pod(new.double() ** 2, scales) - plain_local_pod(old.double() ** 2, scales)
    close(pod.pod_distance(new, old, scales), difference.norm(dim=1).mean().float())


@settings(deadline=None, max_examples=20)
@given(case=shapes_and_scales(), seed=st.integers(0, 999))
def test_regions_add_up_to_the_distance(case: tuple[tuple[int, int, int, int], tuple[int, ...]], seed: int) -> None:
    shape, scales = case
    new, old = draw(seed, *shape), draw(seed + 1, *shape)
    squares = torch.zeros(shape[0])
    for scale in scales:
        found = pod.pod_regions(new, old, scale)
        expected = [region.norm(dim=1) for region in plain_regions(new.double() ** 2 - old.double() ** 2, scale)]
        close(found, torch.stack(expected, dim=1).view(-1, scale, scale).float())
        squares += found.square().sum(dim=(1, 2))
    close(squares.sqrt().mean(), pod.pod_distance(new, old, scales))


def test_a_changed_pixel_changes_its_region_only() -> None:
    old = draw(0, 1, 3, 8, 8)
    new = old.clone()
    new[:, :, 1, 6] += 1
    assert (pod.pod_regions(new, old, 4) > 0).nonzero().tolist() == [[0, 0, 3]]
    assert (pod.pod_regions(new, old, 2) > 0).nonzero().tolist() == [[0, 0, 1]]


def test_pixels_outside_all_regions_do_not_count() -> None:
    old = draw(0, 1, 2, 13, 11)
    new = old.clone()
    new[:, :, 11:] += 1
    assert pod.pod_distance(new, old) == 0
    new[:, :, :, 10] += 1
    assert pod.pod_distance(new, old, (2, 4)) == 0
    assert pod.pod_distance(new, old, (1,)) > 0


def test_the_sign_of_a_map_does_not_matter_but_its_size_does() -> None:
    x = draw(0, 2, 3, 8, 8)
    assert pod.pod_distance(x, -x) == 0
    close(pod.pod_distance(2 * x, torch.zeros_like(x)), 4 * pod.pod_distance(x, torch.zeros_like(x)))


def test_equal_maps_have_distance_0_with_finite_gradient() -> None:
    new = draw(0, 2, 3, 8, 8).requires_grad_()
    for found in (pod.pod_distance(new, new.detach()), pod.pod_regions(new, new.detach(), 2).sum()):
        assert found == 0
        (gradient,) = torch.autograd.grad(found, new)
        assert torch.equal(gradient, torch.zeros_like(gradient))
    half = torch.cat([new.detach()[:1], draw(1, 1, 3, 8, 8)])
    (gradient,) = torch.autograd.grad(pod.pod_distance(new, half), new)
    assert torch.equal(gradient[0], torch.zeros_like(gradient[0]))
    assert gradient[1].isfinite().all()
    assert gradient[1].abs().max() > 0


def test_gradients_agree_with_finite_differences() -> None:
    new, old = draw(0, 2, 2, 5, 6).double().requires_grad_(), draw(1, 2, 2, 5, 6).double()
    assert torch.autograd.gradcheck(lambda x: pod.pod_distance(x, old), new)
    assert torch.autograd.gradcheck(lambda x: pod.fold_new_into_background(torch.cat([x, x], dim=1), 3), new)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32(dtype: torch.dtype) -> None:
    new, old = (300 * draw(0, 2, 4, 8, 8)).to(dtype).requires_grad_(), (300 * draw(1, 2, 4, 8, 8)).to(dtype)
    expected = pod.pod_distance(new.detach().float(), old.float())
    assert expected > torch.finfo(torch.float16).max
    with torch.autocast("cpu", torch.bfloat16):
        found = pod.pod_distance(new, old)
        regions = pod.pod_regions(new.detach(), old, 4)
    assert found.dtype == regions.dtype == pod.local_pod(old).dtype == torch.float32
    assert torch.equal(found.detach(), expected)
    assert torch.equal(regions, pod.pod_regions(new.detach().float(), old.float(), 4))
    small, teacher = draw(2, 2, 4, 8, 8).to(dtype).requires_grad_(), draw(3, 2, 4, 8, 8).to(dtype)
    (gradient,) = torch.autograd.grad(pod.pod_distance(small, teacher), small)
    assert gradient.isfinite().all()
    assert pod.pod_distance(new.double(), old).dtype == torch.float64


def test_memory_layout_does_not_matter() -> None:
    new, old = draw(0, 2, 5, 9, 9), draw(1, 2, 5, 9, 9)
    last = new.contiguous(memory_format=torch.channels_last)
    assert not last.is_contiguous()
    close(pod.local_pod(last), pod.local_pod(new))
    close(pod.pod_distance(last, old), pod.pod_distance(new, old))


def test_fold_adds_the_new_channels_to_the_background_only() -> None:
    logits = draw(0, 2, 6, 3, 5)
    found = pod.fold_new_into_background(logits, 4)
    close(found[:, 0], logits[:, 0] + logits[:, 4] + logits[:, 5])
    assert torch.equal(found[:, 1:], logits[:, 1:4])
    assert torch.equal(pod.fold_new_into_background(logits, 6), logits)
    assert pod.fold_new_into_background(logits.half(), 1).dtype == torch.float32
    close(pod.fold_new_into_background(logits, 1), logits.sum(dim=1, keepdim=True))


@pytest.mark.parametrize("width", [1, 2, 3])
def test_scales_above_the_width_add_nothing(width: int) -> None:
    new, old = draw(0, 2, 3, width + 1, width), draw(1, 2, 3, width + 1, width)
    fitting = tuple(scale for scale in pod.SCALES if scale <= width)
    assert torch.equal(pod.local_pod(new), pod.local_pod(new, fitting))
    close(pod.local_pod(new), plain_local_pod(new, fitting))
    assert torch.equal(pod.pod_distance(new, old), pod.pod_distance(new, old, fitting))


def test_errors_say_what_was_given() -> None:
    x = draw(0, 1, 2, 6, 3)
    with pytest.raises(ValueError, match="scale 4 does not fit a map of side 3"):
        pod.local_pod(x, (4, 5))
    with pytest.raises(ValueError, match="scale 4 does not fit a map of side 3"):
        pod.pod_regions(x, x, 4)
    for scale in (0, -1):
        with pytest.raises(ValueError, match=f"scale {scale} does not fit"):
            pod.local_pod(x, (1, scale))
    with pytest.raises(ValueError, match="at least one scale"):
        pod.local_pod(x, ())
    # jaxtyping's checks refuse these at the public functions, before the ValueError.
    with pytest.raises(ValueError, match="one shape, not"):
        pod._squared_difference(x, draw(0, 1, 2, 6, 1))
    with pytest.raises(ValueError, match=r"at scale 2 a map of side 8 has regions of side 4.*height 4"):
        pod.local_pod(draw(0, 1, 2, 4, 8), (1, 2))
    assert pod.local_pod(draw(0, 1, 2, 5, 8), (1, 2)).isfinite().all()
    for n_old in (0, 3):
        with pytest.raises(ValueError, match=f"between 1 and the 2 channels of the logits, not {n_old}"):
            pod.fold_new_into_background(x, n_old)
