"""From a mask of labels to a target of channels: 512 x 512 pixels."""

from functools import partial

import numpy as np
import torch
from torch import Tensor

from benchmarks import known
from benchmarks.references import data as plain
from benchmarks.timing import Contender, Effort, Row, interleaved, one_thread
from plopkit.datasets.source import Pair, Source
from plopkit.datasets.steps import Selection, StepDataset
from plopkit.datasets.transforms import Sample, Transform
from plopkit.scenario import Scenario

BAR = 1 / 80
STEP = Scenario.parse("voc 15-5 overlap").steps[1]


class OneMask(Source):
    """A source that holds a single pair in memory."""

    classes = tuple(map(str, range(21)))
    stems = ("mask",)
    fingerprint = "one mask"

    def __init__(self, pair: Pair):
        self.pair = pair

    def read(self, index: int) -> Pair:
        return self.pair

    def labels(self, index: int) -> frozenset[int]:
        return frozenset(self.pair.mask.unique().tolist())


class Unchanged(Transform):
    """A transform that does nothing."""

    def __init__(self) -> None:
        pass

    def __call__(self, pair: Pair, seed: int | None = None) -> Sample:
        return Sample(pair.image, pair.mask)


def photograph_mask(height: int, width: int, labels: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """A mask like those of photographs: a few smooth objects with ignored borders, the rest background."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    mask = np.zeros((height, width), np.uint8)
    for label in labels:
        cy, cx = rng.uniform(0.2, 0.8, 2) * (height, width)
        ry, rx = rng.uniform(0.1, 0.3, 2) * (height, width)
        distance = np.hypot((y - cy) / ry, (x - cx) / rx)
        mask[distance < 1.05] = 255
        mask[distance < 1] = label
    return mask


def contenders(size: int = 512) -> dict[str, Contender]:
    """A target, by `StepDataset` and pixel by pixel."""
    mask = torch.from_numpy(photograph_mask(size, size, (15, 16, 20)))
    source = OneMask(Pair(torch.zeros(3, 1, 1, dtype=torch.uint8), mask))
    dataset = StepDataset(source, Selection.of([0], STEP.lookup(STEP.labelled)), Unchanged())
    convert = plain.remap(STEP.new, {label: channel for channel, label in enumerate(STEP.seen)})

    def ours() -> Tensor:
        return dataset[0][1]

    return {"ours": ours, "reference": partial(convert, mask)}


def measure(effort: Effort) -> list[Row]:
    """One row, with one thread."""
    with one_thread():
        times = interleaved(contenders(), effort.rounds(25, 9), warmup=2)
    return [Row("labels to targets", times["ours"], times["reference"], bar=BAR, published=known.REMAP)]
