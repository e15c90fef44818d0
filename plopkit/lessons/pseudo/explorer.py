"""An explorer of pseudo-labels: the image, and the thresholds below which the teacher counts as confident."""

from collections.abc import Sequence
from typing import Any

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from plopkit.datasets.scenario_data import Samples
from plopkit.lessons.pseudo.figures import LabelledImage, PseudoView, label_images
from plopkit.lessons.pseudo.measures import Outcome
from plopkit.pseudo import MedianThresholds, Thresholds
from plopkit.scenario import Step
from plopkit.widgets.controls import choice
from plopkit.widgets.explorer import STYLE, Explorer

SINGLE, MEDIAN, RELEASED = "one for all", "medians", "released"


def pseudo_explorer(
    old_logits: Tensor,
    batch: Samples,
    step: Step,
    medians: Thresholds,
    released: Thresholds,
    names: Sequence[str],
    credit: str = "",
) -> Explorer:
    """An explorer of pseudo-labels, with the controls ``image``, ``kind``, ``threshold`` and ``factor``.

    If ``kind`` is "one for all", ``threshold`` applies to all classes; otherwise ``factor`` multiplies the class-wise
    thresholds of that kind.

    Args:
        old_logits: logits of the teacher, for the images of ``batch``.
        batch: images, training targets and true labels.
        step: the step that is trained.
        medians: class-wise thresholds as in the paper.
        released: class-wise thresholds of the released code.
        names: class names, indexed by label.
        credit: attribution of the images, shown in small print.
    """
    view = PseudoView(names, credit)
    pictures = batch.pictures

    def draw(image: int, kind: str, threshold: float, factor: float) -> Figure:
        limits = _thresholds(kind, threshold, factor, medians, released)
        i = slice(image - 1, image)
        (labelled,) = label_images(old_logits[i], pictures[i], batch.target[i], batch.masks[i], step, limits)
        return view.show(labelled, in_numbers(labelled))

    controls = _controls(len(pictures))
    frames: dict[str, dict[str, Any]] = {
        f"threshold {value:g}": {"kind": SINGLE, "threshold": value} for value in (0.05, 0.2, 0.5, 1.0)
    }
    frames |= {kind: {"kind": kind} for kind in (MEDIAN, RELEASED)}
    explorer = Explorer(draw, controls, frames)
    controls["kind"].observe(lambda change: _enable(controls), names="value")
    _enable(controls)
    return explorer


def in_numbers(image: LabelledImage) -> str:
    """The adaptive factor, and how many pseudo-labels are right, in words."""
    labelled, right = image.outcome > Outcome.UNSURE, image.outcome == Outcome.RIGHT
    objects = labelled & (image.labelled != 0)
    return (
        f"adaptive factor {image.factor:.2f}, pseudo-labels: {_split(labelled, right)}\n"
        f"pseudo-labels of old classes: {_split(objects, right)}"
    )


def _split(labelled: np.ndarray, right: np.ndarray) -> str:
    return f"{labelled.sum()} ({(labelled & right).sum()} right, {(labelled & ~right).sum()} wrong)"


def _thresholds(kind: str, threshold: float, factor: float, medians: Thresholds, released: Thresholds) -> Thresholds:
    if kind == SINGLE:
        return MedianThresholds(torch.full_like(medians.values, threshold))
    chosen = medians if kind == MEDIAN else released
    return type(chosen)(factor * chosen.values)


def _enable(controls: dict[str, Any]) -> None:
    """Disable the control that this kind of thresholds does not use."""
    controls["threshold"].disabled = controls["kind"].value != SINGLE
    controls["factor"].disabled = controls["kind"].value == SINGLE


def _controls(n_images: int) -> dict[str, Any]:
    return {
        "image": choice(range(1, n_images + 1), "image", "which training image"),
        "kind": choice(
            [SINGLE, MEDIAN, RELEASED],
            "rule",
            "a single threshold, or one per class: the paper's medians or the released code's",
        ),
        "threshold": _slider(0.2, 1.0, 0.01, "threshold", "for all classes; below it, the teacher counts as confident"),
        "factor": _slider(1.0, 5.0, 0.1, "times", "multiplies the class-wise thresholds; 1 as in training"),
    }


def _slider(value: float, highest: float, step: float, name: str, tooltip: str) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(
        value, min=0.0, max=highest, step=step, description=name, tooltip=tooltip, style=STYLE
    )
