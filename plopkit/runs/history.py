"""What the row of a step in `summary.csv` needs of the steps before it."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pandas as pd

from plopkit.metrics import PER_STEP, Evaluated, group_means


@dataclass(frozen=True, eq=False)
class History:
    """The steps of a run so far. Its size does not grow with their number, apart from a number for each."""

    all: tuple[float, ...] = ()
    """mIoU of all classes after each step"""
    best: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n,) the best IoU of each channel at any step; NaN where it never had a pixel"""
    first: np.ndarray = field(default_factory=lambda: np.zeros(0))
    """(n,) the first IoU of each channel, after the step that learnt it if it had pixels then"""

    def measures(self, rows: pd.DataFrame) -> dict[str, float]:
        """The numbers of the step that follows, by their columns in `summary.csv`.

        Args:
            rows: the step's rows of `results.csv`, channel by channel.
        """
        iou = rows["iou"].to_numpy(np.float64)
        n_first = int((rows["learned_at"] == 0).sum())
        has_background = bool((rows["label"] == 0).any())
        means = group_means(iou, n_first, has_background)
        accuracy, pixels = rows["accuracy"].to_numpy(np.float64), rows["pixels"].to_numpy()
        n_old = len(self.first)
        best, first = self._best(iou)[:n_old], self._first(iou)[:n_old]
        evaluated = Evaluated(iou, accuracy, pixels, n_first, best, first, has_background)
        measures = {name: float(function(evaluated)) for name, function in PER_STEP.items()}
        return means | {"avg": float(np.mean([*self.all, means["all"]]))} | measures

    def with_step(self, rows: pd.DataFrame) -> Self:
        """The history with one more step; `rows` as for `measures`."""
        iou = rows["iou"].to_numpy(np.float64)
        n_first = int((rows["learned_at"] == 0).sum())
        return type(self)((*self.all, group_means(iou, n_first)["all"]), self._best(iou), self._first(iou))

    def _best(self, iou: np.ndarray) -> np.ndarray:
        n_old = len(self.best)
        return np.concatenate([np.fmax(self.best, iou[:n_old]), iou[n_old:]])

    def _first(self, iou: np.ndarray) -> np.ndarray:
        n_old = len(self.first)
        return np.concatenate([np.where(np.isnan(self.first), iou[:n_old], self.first), iou[n_old:]])
