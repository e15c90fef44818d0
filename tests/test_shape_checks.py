"""The check of shapes and types that the tests add to every function of plopkit."""

import types
from collections.abc import Callable
from typing import Self

import pytest
import torch
from jaxtyping import Float, TypeCheckError
from shape_checks import check, jaxtyped
from torch import Tensor
from tqdm import tqdm

from plopkit.datasets.transforms import normalised
from plopkit.losses import cross_entropy
from plopkit.metrics import confusion
from plopkit.model.abn import ABN
from plopkit.scenario import Scenario
from plopkit.trainer import evaluate


def test_a_wrong_shape_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="cross_entropy"):
        cross_entropy(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 5, dtype=torch.int64))
    with pytest.raises(TypeCheckError, match="confusion"):
        confusion(torch.zeros(3, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), 2)
    with pytest.raises(TypeCheckError, match="forward"):
        ABN(3)(torch.zeros(2, 3, 4))


def test_a_wrong_type_is_refused() -> None:
    with pytest.raises(TypeCheckError, match="cross_entropy"):
        cross_entropy(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4))
    with pytest.raises(TypeCheckError, match="parse"):
        Scenario.parse(15)


def test_right_shapes_and_types_pass() -> None:
    assert cross_entropy(torch.zeros(2, 3, 4, 4), torch.zeros(2, 4, 4, dtype=torch.uint8)).shape == (2, 4, 4)
    assert isinstance(Scenario.parse("voc 15-5 overlap"), Scenario)  # returns Self
    for function in (Scenario.parse, Scenario.parse.__wrapped__):
        assert function.__annotations__["return"] is Self
    assert normalised(torch.zeros(3, 2, 2)).shape == (3, 2, 2)


def test_an_iterable_is_not_consumed(tiny_net) -> None:
    image, target = torch.zeros(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.int64)
    bar = tqdm(iter([(image, target)]), disable=True)  # a check that took the first item would leave none
    assert evaluate(tiny_net(16), bar, 16).sum() == target.numel()


def test_what_names_no_shape_is_checked_by_beartype_alone() -> None:
    """Arguments and results, also of functions that another one defines, whose annotations stay as they are."""

    def define(result: object) -> Callable[..., str]:
        def inner(number: int, *others: int, word: str = "") -> str:
            return result  # type: ignore[return-value]

        return jaxtyped(inner, typechecker=check)

    right, wrong = define("right"), define(None)
    assert right.__code__ is wrong.__code__ and right.__closure__ is None  # compiled once
    assert right.__wrapped__.__closure__ is not None and right.__annotations__["number"] is int
    for _ in range(2):
        assert right(1, 2, word="a") == "right"
        with pytest.raises(TypeCheckError, match="return"):
            wrong(1)
        for arguments, words in ((("1",), {}), ((1, "2"), {}), ((1,), {"word": 3})):
            with pytest.raises(TypeCheckError, match="inner"):
                right(*arguments, **words)

    def other(number: int, *others: int, word: str = "") -> Self:
        return number

    unchanged = dict(other.__annotations__)
    assert jaxtyped(other, typechecker=check)(3) == 3
    assert other.__annotations__ == unchanged


def test_the_annotations_of_an_inner_function_are_those_of_its_definition() -> None:
    def define(kind: type) -> Callable[..., object]:
        def inner(value: kind) -> kind:
            return value

        return jaxtyped(inner, typechecker=check)

    for kind, value, other in ((int, 1, "a"), (str, "a", 1)):
        assert define(kind)(value) == value
        with pytest.raises(TypeCheckError):
            define(kind)(other)


@pytest.mark.parametrize("hint", [Float[Tensor, "B C"], list[Float[Tensor, "B C"]], Float[Tensor, "B C"] | None])
def test_what_names_a_shape_is_checked_by_jaxtyping(hint: object) -> None:
    """The same name is the same number, in all arguments and the result."""

    def first(one: hint, other: hint) -> object:
        return one

    checked = jaxtyped(first, typechecker=check)
    tensors = [torch.zeros(2, 3), torch.zeros(2, 3), torch.zeros(2, 4)]
    given, alike, other = ([tensor] if isinstance(hint, types.GenericAlias) else tensor for tensor in tensors)
    assert checked(given, alike) is given
    with pytest.raises(TypeCheckError, match="Type-check error whilst checking the parameters"):
        checked(given, other)
