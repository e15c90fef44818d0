"""Metrics from confusion matrices, a file each; `PER_CLASS` and `PER_STEP` list those in the tables of a run."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from plopkit.metrics.accuracy import accuracy
from plopkit.metrics.evaluated import Evaluated
from plopkit.metrics.forgetting import forgetting
from plopkit.metrics.hiou import hiou
from plopkit.metrics.iou import iou
from plopkit.metrics.means import group_means, mean
from plopkit.metrics.pixel_accuracy import pixel_accuracy
from plopkit.metrics.transfer import backward_transfer

if TYPE_CHECKING:
    from plopkit.confusion import confusion

__all__ = [
    "PER_CLASS",
    "PER_STEP",
    "Evaluated",
    "accuracy",
    "backward_transfer",
    "confusion",
    "forgetting",
    "group_means",
    "hiou",
    "iou",
    "pixel_accuracy",
]

PER_CLASS: dict[str, Callable[[np.ndarray], np.ndarray]] = {"iou": iou, "accuracy": accuracy}
"""The metrics of each class, (n, n) counts -> (n,): each is a column of `results.csv`. A further entry is one more."""

PER_STEP: dict[str, Callable[[Evaluated], float]] = {
    "hiou": lambda step: hiou(step.iou, step.n_first),
    "pixel_accuracy": lambda step: pixel_accuracy(step.accuracy, step.pixels),
    "background": lambda step: float(step.iou[0]) if step.has_background else float("nan"),
    "forgetting": lambda step: mean((step.best - step.last)[step.n_background :]),
    "backward_transfer": lambda step: mean((step.last - step.first)[step.n_background :]),
}
"""The metrics of a step, in percent or points: each is a column of `summary.csv`, after the means over groups. A
further entry is one more.

`background` is the IoU of the background. `forgetting` and `backward_transfer` are means of what the functions of these
names give, over the classes that earlier steps have learnt; missing at step 0. The background is left out there: what
it stands for changes from step to step."""


def __getattr__(name: str) -> Any:
    if name == "confusion":  # the only metric that needs torch; tables of finished runs are read without
        from plopkit.confusion import confusion

        return confusion
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
