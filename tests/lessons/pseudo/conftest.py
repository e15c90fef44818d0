"""A batch of random masks, its teacher's logits, and thresholds."""

import numpy as np
import pytest
import torch

from plopkit.datasets.scenario_data import Batch
from plopkit.lessons.pseudo import pseudo_explorer
from plopkit.pseudo import Thresholds, median_thresholds, released_thresholds
from plopkit.scenario import Scenario

STEP = Scenario.parse("voc 15-1 overlap order=b").steps[1]  # later steps add classes, and labels are not channels
NAMES = [f"class {label}" for label in range(21)]
SIDE = 24


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Three images of random labels, one of them with ignored pixels."""
    rng = np.random.default_rng(0)
    masks = torch.from_numpy(rng.choice([*[0] * 30, *range(1, 21)], (3, SIDE, SIDE)))
    masks[1, :2] = 255
    target = torch.from_numpy(STEP.lookup("new").astype(np.int64))[masks]
    return Batch(torch.randn(3, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)), target, masks)


@pytest.fixture(scope="module")
def logits(batch: Batch) -> torch.Tensor:
    """A teacher that is right for about two thirds of what it can know, and more certain where it is right."""
    generator = torch.Generator().manual_seed(1)
    truth = torch.from_numpy(STEP.lookup("seen").astype(np.int64))[batch.masks]
    known = torch.where(truth < STEP.n_old, truth, 0)
    hint = torch.nn.functional.one_hot(known, STEP.n_old).permute(0, 3, 1, 2).float()
    return 4 * hint + 1.5 * torch.randn(3, STEP.n_old, SIDE, SIDE, generator=generator)


@pytest.fixture(scope="module")
def medians(batch: Batch, logits: torch.Tensor) -> Thresholds:
    return median_thresholds([(logits, batch.target)], STEP.n_old, STEP.n_seen)


@pytest.fixture(scope="module")
def released(batch: Batch, logits: torch.Tensor) -> Thresholds:
    return released_thresholds([(logits, batch.target)], STEP.n_old, STEP.n_seen)


@pytest.fixture
def explorer(batch: Batch, logits: torch.Tensor, medians: Thresholds, released: Thresholds):
    return pseudo_explorer(logits, batch, STEP, medians, released, NAMES, "by somebody")
