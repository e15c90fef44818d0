"""Targets and counts of masks, against plain loops."""

import numpy as np
import pytest
import torch
from torch import Tensor

from plopkit.datasets.lookup import label_counts, look_up
from plopkit.scenario import Scenario

MASK = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (13, 7), np.uint8))


@pytest.mark.parametrize("mask", [MASK, MASK.T, MASK[2:9, 1:5], MASK.flip(-1)], ids=["whole", "turned", "cut", "flip"])
def test_targets_and_counts_equal_a_loop(mask: Tensor) -> None:
    table = Scenario.parse("voc 15-5 overlap").steps[1].lookup("seen")
    before = mask.clone()
    target = look_up(mask, table)
    assert (target.dtype, target.shape) == (torch.uint8, mask.shape)
    assert target.tolist() == [[int(table[label]) for label in row] for row in mask.tolist()]
    target += 1  # its memory is its own
    assert torch.equal(mask, before)
    assert label_counts(mask).tolist() == [int((mask == label).sum()) for label in range(256)]
