"""Pseudo-labels, to play with: the image, and where the teacher counts as sure."""

from collections.abc import Sequence
from typing import Any, Literal

import ipywidgets
import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from plopkit.datasets.scenario_data import Batch
from plopkit.lessons.pseudo.figures import PseudoView, Shown, shown
from plopkit.lessons.pseudo.measures import Judged
from plopkit.pseudo import Thresholds
from plopkit.scenario import Step
from plopkit.widgets.explorer import STYLE, Explorer

ONE, MEDIAN, RELEASED = "one for all", "medians", "released"


def pseudo_explorer(
    old_logits: Tensor,
    batch: Batch,
    step: Step,
    medians: Thresholds,
    released: Thresholds,
    names: Sequence[str],
    credit: str = "",
) -> Explorer:
    """An explorer of pseudo-labels; its controls are image, kind, threshold and factor.

    old_logits: the teacher's on the images of ``batch``; names by label. ``threshold`` holds for all classes where
    ``kind`` is "one for all"; otherwise ``factor`` multiplies the class-wise thresholds of that kind.
    """
    view = PseudoView(names, credit)
    pictures = batch.pictures

    def draw(image: int, kind: str, threshold: float, factor: float) -> Figure:
        limits = _limits(kind, threshold, factor, medians, released)
        i = slice(image - 1, image)
        (one,) = shown(old_logits[i], pictures[i], batch.target[i], batch.masks[i], step, limits)
        return view.show(one, numbers(one))

    controls = _controls(len(pictures))
    explorer = Explorer(draw, controls)
    controls["kind"].observe(lambda change: _enable(controls), names="value")
    _enable(controls)
    return explorer


def numbers(one: Shown) -> str:
    """The adaptive factor, and how many pseudo-labels are right, in words."""
    labelled, right = one.judged > Judged.UNSURE, one.judged == Judged.RIGHT
    named = labelled & (one.labelled != 0)
    return (
        f"adaptive factor {one.factor:.2f}: {_split(labelled, right)} pseudo-labels\n"
        f"of them name an old class: {_split(named, right)}"
    )


def _split(labelled: np.ndarray, right: np.ndarray) -> str:
    return f"{labelled.sum()} ({(labelled & right).sum()} right, {(labelled & ~right).sum()} wrong)"


def _limits(kind: str, threshold: float, factor: float, medians: Thresholds, released: Thresholds) -> Thresholds:
    if kind == ONE:
        return Thresholds(torch.full_like(medians.values, threshold), "median")
    chosen = medians if kind == MEDIAN else released
    same: Literal["released", "median"] = chosen.kind
    return Thresholds(factor * chosen.values, same)


def _enable(controls: dict[str, Any]) -> None:
    """A control that means nothing for this kind is greyed."""
    controls["threshold"].disabled = controls["kind"].value != ONE
    controls["factor"].disabled = controls["kind"].value == ONE


def _controls(images: int) -> dict[str, Any]:
    return {
        "image": ipywidgets.IntSlider(1, 1, images, description="image", tooltip="which training image", style=STYLE),
        "kind": ipywidgets.Dropdown(
            options=[ONE, MEDIAN, RELEASED],
            description="thresholds",
            tooltip="one limit for all classes, or a limit for each: the paper's medians, or the released code's",
            style=STYLE,
        ),
        "threshold": _slider(
            0.2, 1.0, 0.01, "threshold", "for all classes: the teacher is sure below this uncertainty"
        ),
        "factor": _slider(1.0, 5.0, 0.1, "times", "multiplies the class-wise thresholds; 1 is as in training"),
    }


def _slider(value: float, highest: float, step: float, name: str, told: str) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(value, min=0.0, max=highest, step=step, description=name, tooltip=told, style=STYLE)
