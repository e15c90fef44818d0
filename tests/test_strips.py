"""The fast distance and its gradient against local POD's definition and autograd."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import pytest
import torch
from drawing import draw
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from plopkit import pod, strips

FORMATS: dict[str, Callable[[Tensor], Tensor]] = {
    "channels first": Tensor.contiguous,
    "channels last": partial(Tensor.contiguous, memory_format=torch.channels_last),
    "a part of a larger map": lambda x: torch.nn.functional.pad(x, (1, 2, 3, 1, 2, 0, 1, 0))[1:, 2:, 3:-1, 1:-2],
    "width before height": lambda x: x.transpose(2, 3).contiguous().transpose(2, 3),
    "one value everywhere": lambda x: x[:1, :1, :1, :1].expand(x.shape),
}
PRECISION = {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 1e-2}
"""Of a gradient, relative to its largest value; float16 and bfloat16 round it to 11 and 8 binary digits."""


class Case(NamedTuple):
    new: Tensor
    old: Tensor
    scales: tuple[int, ...]
    tile: int


@st.composite
def cases(draw_from: st.DrawFn) -> Case:
    """Two maps whose format and type may differ; scales in any order, also above the width; any size of tiles."""
    scales = tuple(draw_from(st.lists(st.integers(1, 9), min_size=1, max_size=4)))
    width = draw_from(st.integers(min(scales), 17))
    lowest = max((scale - 1) * (width // scale) + 1 for scale in scales)
    height = draw_from(st.integers(lowest, max(lowest, width) + 4))
    shape = draw_from(st.integers(1, 3)), draw_from(st.integers(1, 4)), height, width
    seed = draw_from(st.integers(0, 999))
    maps = [
        draw_from(st.sampled_from(list(FORMATS.values())))(draw(seed + number, *shape).to(dtype))
        for number, dtype in enumerate(draw_from(st.lists(st.sampled_from(list(PRECISION)), min_size=2, max_size=2)))
    ]
    return Case(*maps, scales, draw_from(st.sampled_from([1, 30, 10**6])))


def defined(new: Tensor, old: Tensor, scales: tuple[int, ...]) -> Tensor:
    """The distance by its definition, from the whole embeddings."""
    difference = pod.local_pod(new.square(), scales) - pod.local_pod(old.square(), scales)
    return difference.norm(dim=1).mean()


def with_gradients(distance: Callable[..., Tensor], case: Case, dtype: torch.dtype | None = None) -> list[Tensor]:
    """The distance and its gradients for both maps, which are converted to the type."""
    new, old = (x.detach().to(dtype or x.dtype).requires_grad_() for x in case[:2])
    result = distance(new, old, case.scales)
    return [result, *torch.autograd.grad(result, (new, old))]


@given(case=cases())
def test_the_definition(case: Case) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(strips, "TILE_ON_CPU", case.tile)
        result, *gradients = with_gradients(pod.pod_distance, case)
    expected, *true_gradients = with_gradients(defined, case, torch.float64)
    exact = torch.float64 in (case.new.dtype, case.old.dtype)
    assert result.dtype == (torch.float64 if exact else torch.float32)
    torch.testing.assert_close(result, expected.to(result.dtype), rtol=1e-12 if exact else 1e-5, atol=1e-6)
    for x, gradient, true in zip(case, gradients, true_gradients, strict=False):
        assert gradient.dtype == x.dtype
        atol = PRECISION[x.dtype] * max(true.abs().max().item(), 1e-3)
        torch.testing.assert_close(gradient, true.to(x.dtype), rtol=0, atol=atol)


@pytest.mark.parametrize("tile", [1, 10**6])
@pytest.mark.parametrize(
    ("shape", "scales"), [((2, 2, 5, 7), (1, 2, 3)), ((1, 1, 9, 8), (4, 2)), ((1, 2, 4, 5), (2, 9))]
)
def test_finite_differences(
    monkeypatch: pytest.MonkeyPatch, tile: int, shape: tuple[int, ...], scales: tuple[int, ...]
) -> None:
    monkeypatch.setattr(strips, "TILE_ON_CPU", tile)
    maps = [draw(seed, *shape).double().requires_grad_() for seed in (0, 1)]
    assert torch.autograd.gradcheck(lambda new, old: pod.pod_distance(new, old, scales), maps)


def test_a_gradient_has_its_maps_format() -> None:
    new, old = draw(0, 2, 5, 8, 8).contiguous(memory_format=torch.channels_last).requires_grad_(), draw(1, 2, 5, 8, 8)
    (gradient,) = torch.autograd.grad(pod.pod_distance(new, old), new)
    assert gradient.stride() == new.stride()


def kept(new: Tensor, old: Tensor) -> list[Tensor]:
    """What pod_distance keeps for its gradient."""
    tensors: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(tensors.append, lambda _: None):
        pod.pod_distance(new, old)
    return tensors


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_of_the_maps_only_those_that_need_a_gradient_are_kept(dtype: torch.dtype) -> None:
    new, old = draw(0, 2, 4, 32, 32).to(dtype), draw(1, 2, 4, 32, 32).to(dtype)
    assert kept(new, old) == []
    for maps in ([new.clone().requires_grad_(), old], [new, old.clone().requires_grad_()]):
        tensors = kept(*maps)
        large = [x for x in tensors if x.numel() == new.numel()]
        assert [x.data_ptr() for x in large] == [x.data_ptr() for x in maps if x.requires_grad]
        assert sum(x.numel() for x in tensors) < 1.3 * new.numel()
    assert sum(x.numel() == new.numel() for x in kept(new.clone().requires_grad_(), old.clone().requires_grad_())) == 2


def test_the_gradient_is_the_same_each_time_and_has_none() -> None:
    new, old = draw(0, 2, 3, 8, 8).requires_grad_(), draw(1, 2, 3, 8, 8)
    distance = pod.pod_distance(new, old)
    first, again = (torch.autograd.grad(distance, new, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, again)
    with pytest.raises(RuntimeError, match=r"no second derivative: leave out create_graph=True"):
        torch.autograd.grad(distance, new, create_graph=True)


def test_what_is_not_a_number_stays_visible() -> None:
    new, old = draw(0, 2, 3, 8, 8), draw(1, 2, 3, 8, 8)
    new[0, 0, 0, 0] = float("nan")
    distance = pod.pod_distance(new.requires_grad_(), old)
    (gradient,) = torch.autograd.grad(distance, new)
    assert distance.isnan()
    assert gradient[0].isnan().any()
    assert gradient[1].isfinite().all()
