"""A source whose images show their labels as grey levels."""

import numpy as np
import torch

from plopkit.datasets.source import Pair, Source
from plopkit.scenario import IGNORE


class Coloured(Source):
    """Images whose grey level is ten times the label, so that every pixel shows its label wherever it moves."""

    def __init__(self, count: int, height: int = 50, width: int = 40):
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 21, (count, 5, 4))
        coarse[:, 0, 0] = IGNORE
        self.masks = torch.from_numpy(coarse.astype(np.uint8).repeat(height // 5, 1).repeat(width // 4, 2))
        self.classes = tuple(f"class {label}" for label in range(21))
        self.stems = tuple(f"image {index}" for index in range(count))
        self.fingerprint = f"coloured-{count}-{height}-{width}"

    def read(self, index: int) -> Pair:
        mask = self.masks[index]
        return Pair((mask.int() * 10 % 256).to(torch.uint8).expand(3, -1, -1).contiguous(), mask)

    def labels(self, index: int) -> frozenset[int]:
        return frozenset(self.masks[index].unique().tolist())
