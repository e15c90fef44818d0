"""The check of shapes and types that the tests add to every function of plopkit."""

import pytest
import torch
from jaxtyping import TypeCheckError
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
    assert normalised(torch.zeros(3, 2, 2)).shape == (3, 2, 2)


def test_an_iterable_is_not_consumed(tiny_net) -> None:
    image, target = torch.zeros(1, 3, 64, 64), torch.zeros(1, 64, 64, dtype=torch.int64)
    bar = tqdm(iter([(image, target)]), disable=True)  # a check that took the first item would leave none
    assert evaluate(tiny_net(16), bar, 16).sum() == target.numel()
