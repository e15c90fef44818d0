"""Functions computed by chunks: the same results and gradients, from the arguments alone."""

import pytest
import torch
from torch import Tensor

from plopkit.support import chunks
from plopkit.support.chunks import by_chunks


def weighted_square(x: Tensor, weight: Tensor, other: Tensor) -> Tensor:
    return weight * (x.square().sum(dim=1) + other.exp().prod(dim=1))


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)), dtype=torch.float64)


@pytest.fixture
def tensors() -> list[Tensor]:
    return [drawn(2, 3, 5, 4).requires_grad_(), drawn(2, 5, 4), drawn(2, 2, 5, 4).requires_grad_()]


@pytest.mark.parametrize("values", [1, 24, 48, 60, 10_000], ids=lambda n: f"chunks of {n} values")
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["channels-first", "-last"])
def test_results_and_gradients_are_those_of_the_whole(
    tensors: list[Tensor], values: int, layout: torch.memory_format, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CPU_CHUNK", values)
    tensors[0] = tensors[0].detach().contiguous(memory_format=layout).requires_grad_()
    found, expected = by_chunks(weighted_square, *tensors), weighted_square(*tensors)
    torch.testing.assert_close(found, expected)
    weight, wanted = drawn(2, 5, 4), [tensors[0], tensors[2]]
    for gradient, right in zip(
        torch.autograd.grad(found, wanted, weight), torch.autograd.grad(expected, wanted, weight), strict=True
    ):
        torch.testing.assert_close(gradient, right)


@pytest.mark.parametrize(
    ("values", "rows"),
    [(24, 3 * [2, 2, 1]), (1, 15 * [1]), (47, 3 * [3, 2]), (60, [5, 5, 5]), (120, [10, 5]), (180, [15])],
)
def test_a_chunk_has_as_many_images_or_rows_of_one_as_fit(
    values: int, rows: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def first_channel(x: Tensor) -> Tensor:
        seen.append(len(x) * x.shape[2])
        return x[:, 0]

    monkeypatch.setattr(chunks, "CPU_CHUNK", values)
    x = drawn(3, 3, 5, 4)
    assert torch.equal(by_chunks(first_channel, x), x[:, 0])
    assert seen == rows


def test_nothing_but_the_arguments_and_their_gradient_is_kept(
    tensors: list[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks, "CPU_CHUNK", 24)
    result = by_chunks(weighted_square, *tensors)  # while it is there, its node keeps the tensors
    node = result.grad_fn
    assert [x.data_ptr() for x in node.saved_tensors] == [x.data_ptr() for x in tensors]
    assert [None if x is None else x.shape for x in node.gradients] == [
        x.shape if x.requires_grad else None for x in tensors
    ]
    with torch.no_grad():
        assert by_chunks(weighted_square, *tensors).grad_fn is None


def test_a_gradient_can_be_asked_for_again(tensors: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    inputs = [x for x in tensors if x.requires_grad]
    outer = drawn(2, 5, 4)
    expected = torch.autograd.grad(weighted_square(*tensors), inputs, outer)
    monkeypatch.setattr(chunks, "CPU_CHUNK", 24)
    result = by_chunks(weighted_square, *tensors)
    for _ in range(2):
        for found, right in zip(torch.autograd.grad(result, inputs, outer, retain_graph=True), expected, strict=True):
            torch.testing.assert_close(found, right)


def test_results_keep_their_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CPU_CHUNK", 24)
    x = drawn(2, 3, 5, 4).half().requires_grad_()
    assert by_chunks(lambda x: x.argmax(dim=1), x).dtype == torch.int64
    loss = by_chunks(lambda x: x.float().exp().sum(dim=1), x)
    assert loss.dtype == torch.float32
    (gradient,) = torch.autograd.grad(loss.sum(), x)
    assert gradient.dtype == torch.float16


def test_gradients_can_be_differentiated(tensors: list[Tensor], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunks, "CPU_CHUNK", 24)
    assert torch.autograd.gradgradcheck(lambda *x: by_chunks(weighted_square, *x), tensors)


@pytest.mark.parametrize("shape", [(2, 6, 4), (2, 5, 3), (1, 5, 4)])
def test_other_sizes_are_refused(tensors: list[Tensor], shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must agree, not \(2, 3, 5, 4\) and "):
        by_chunks(weighted_square, tensors[0], drawn(*shape), tensors[2])
