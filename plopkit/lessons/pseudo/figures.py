"""Pseudo-labels over images: the teacher's prediction, its uncertainty, the new target, and what of it is right."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer, UInt8
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from torch import Tensor

from plopkit.datasets.scenario_data import labels_of
from plopkit.lessons.pseudo.measures import Outcome, classify_pseudo_labels
from plopkit.pseudo import Thresholds, pseudo_label
from plopkit.scenario import Step
from plopkit.support.errors import unknown_name
from plopkit.support.prediction import predicted_channel
from plopkit.viz.colours import EDGE, IGNORED, PSEUDO_LABELS, UNCERTAINTY_HEAT
from plopkit.viz.figures import bare, legend_below, titled
from plopkit.viz.legends import class_patches
from plopkit.viz.masks import overlay, unsure_picture
from plopkit.viz.panels import Panels
from plopkit.viz.style import styled
from plopkit.viz.words import contents

OUTCOMES = {
    Outcome.RIGHT: "right",
    Outcome.UNSURE: "unsure: ignored",
    Outcome.EXCLUDED: "new class, or ignored before",
    Outcome.MISSED: "old object called background",
    Outcome.CONFUSED: "old object called another class",
    Outcome.INVENTED: "background called an old class",
    Outcome.FUTURE: "object of a later step called old",
}
"""Each outcome in words, in the order of the legend."""
COLOURS = {outcome: PSEUDO_LABELS[outcome.name.lower()] for outcome in Outcome}


class LabelledImage(NamedTuple):
    """An image with its pseudo-labels; all masks are labels."""

    picture: UInt8[np.ndarray, "3 H W"]
    training_mask: Integer[np.ndarray, "H W"]
    """The mask that the step trains on, without pseudo-labels."""
    predicted: Integer[np.ndarray, "H W"]
    """By the teacher."""
    uncertainty: Float[np.ndarray, "H W"]
    sure: Bool[np.ndarray, "H W"]
    labelled: Integer[np.ndarray, "H W"]
    """The target with pseudo-labels, `IGNORE` where there is none."""
    outcome: Integer[np.ndarray, "H W"]
    truth: Integer[np.ndarray, "H W"]
    factor: float
    """The adaptive factor."""
    highest: float
    """The highest possible uncertainty, where all classes are equally likely."""

    def panels(self) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
        """All parts as pictures, by name."""
        confident = np.where((self.outcome == Outcome.EXCLUDED)[..., None], 0.5, self.sure[..., None] * np.ones(3))
        table = np.array([to_rgb(COLOURS[outcome]) for outcome in Outcome])
        return {
            "image": self.picture.transpose(1, 2, 0),
            "training mask": overlay(self.picture, self.training_mask),
            "teacher": overlay(self.picture, self.predicted),
            "uncertainty": unsure_picture(self.uncertainty / self.highest),
            "confident (white)": (255 * confident).astype(np.uint8),
            "sure (white)": (255 * confident).astype(np.uint8),  # the name in plopkit 0.1
            "target": overlay(self.picture, self.labelled),
            "truth": overlay(self.picture, self.truth),
            "right and wrong": (255 * table[self.outcome]).astype(np.uint8),
        }


def label_images(
    old_logits: Float[Tensor, "B C_old H W"],
    pictures: UInt8[Tensor, "B 3 H W"],
    target: Int[Tensor, "B H W"],
    masks: Int[Tensor, "B H W"],
    step: Step,
    thresholds: Thresholds,
) -> list[LabelledImage]:
    """Pseudo-label images, and compare with the truth.

    Args:
        old_logits: logits of the teacher.
        pictures: the images.
        target: the training masks: channels.
        masks: the true labels.
        step: the step that is trained.
        thresholds: below which the teacher counts as confident.
    """
    pseudo = pseudo_label(old_logits, target, step.n_old, thresholds)
    outcome = classify_pseudo_labels(pseudo.target, target, masks, step)
    training_masks, predicted, labelled = (
        labels_of(channels, step) for channels in (target, predicted_channel(old_logits), pseudo.target)
    )
    parts = (pictures, training_masks, predicted, pseudo.uncertainty, pseudo.sure, labelled, outcome, masks)
    arrays = [part.cpu().numpy() for part in parts]
    highest = float(thresholds.uncertainty(torch.zeros(1, step.n_old, 1, 1)))
    return [
        LabelledImage._make((*row, float(factor), highest)) for *row, factor in zip(*arrays, pseudo.factor, strict=True)
    ]


@styled
def pseudo_rows(
    images: Sequence[LabelledImage], panels: Sequence[str], names: Sequence[str], title: str, credit: str = ""
) -> Figure:
    """Rows are images, with their adaptive factors; columns are panels.

    Args:
        images: result of `label_images`.
        panels: names of `LabelledImage.panels`.
        names: class names, indexed by label.
        title: title of the figure.
        credit: attribution of the images, shown in small print.

    Raises:
        ValueError: there is no panel of this name.
    """
    width = 1.75 * len(panels) + 0.4
    figure = titled(title, width, 1.7 * len(images) + 1.2)
    axes = figure.subplots(len(images), len(panels), squeeze=False)
    for line, image in zip(axes, images, strict=True):
        pictures = image.panels()
        for name in panels:
            if name not in pictures:
                raise unknown_name("panel", name, pictures)
        for axis, name in zip(line, panels, strict=True):
            axis.imshow(pictures[name], interpolation="nearest")
            bare(axis)
        line[0].set_ylabel(f"factor {image.factor:.2f}", fontsize=9)
    for axis, name in zip(axes[0], panels, strict=True):
        axis.set_title(name, fontsize=9)
    if "uncertainty" in panels:
        heat = ScalarMappable(Normalize(0, images[0].highest), UNCERTAINTY_HEAT)
        bar = figure.colorbar(heat, ax=axes[:, -1], shrink=0.7, aspect=30)
        bar.set_label("uncertainty", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    legend_below(figure, _legend_of_rows(images, panels, names), max(2, int(width / 2.4)), credit)
    said = [f"{_in_words(image, names)}, adaptive factor {image.factor:.2f}" for image in images]
    figure.alt = f"{title}: {', '.join(panels)}. {'; '.join(said)}."
    return figure


def _in_words(image: LabelledImage, names: Sequence[str]) -> str:
    """Truth, teacher and target of an image."""
    parts = {"truth": image.truth, "teacher": image.predicted, "target": image.labelled}
    return ", ".join(f"{name} {contents(mask, names)}" for name, mask in parts.items())


def _legend_of_rows(images: Sequence[LabelledImage], panels: Sequence[str], names: Sequence[str]) -> list[Patch]:
    if "right and wrong" in panels:
        return legend_entries(images, names, outcomes=True)
    handles = legend_entries(images, names, outcomes=False)
    if {"training mask", "target", "truth"} & set(panels):
        handles.append(Patch(facecolor=IGNORED, edgecolor=EDGE, label="ignored"))
    if {"confident (white)", "sure (white)"} & set(panels):
        handles.append(_patch(Outcome.EXCLUDED))
    return handles


def legend_entries(images: Sequence[LabelledImage], names: Sequence[str], outcomes: bool) -> list[Patch]:
    """Entries of the labels that occur and, if wanted, of the outcomes."""
    masks = np.stack(
        [mask for image in images for mask in (image.training_mask, image.predicted, image.labelled, image.truth)]
    )
    patches = class_patches(masks, names)
    if outcomes:
        with_future = any((image.outcome == Outcome.FUTURE).any() for image in images)
        patches += [_patch(outcome) for outcome in OUTCOMES if outcome != Outcome.FUTURE or with_future]
    return patches


def _patch(outcome: Outcome) -> Patch:
    return Patch(facecolor=COLOURS[outcome], edgecolor=EDGE, label=OUTCOMES[outcome])


class PseudoView:
    """One image's pseudo-labels and which of them are right: a figure that is updated in place.

    Args:
        names: class names, indexed by label.
        credit: attribution of the images, shown in small print.
    """

    PANELS = (
        *("image", "training mask", "teacher", "uncertainty"),
        *("confident (white)", "target", "truth", "right and wrong"),
    )

    def __init__(self, names: Sequence[str], credit: str = ""):
        self.names = names
        places = [(0.09 + 1.94 * column, 0.76 + 2.1 * row, 1.86, 1.86) for row in range(2) for column in range(4)]
        titles = ["uncertainty (bright: high)" if name == "uncertainty" else name for name in self.PANELS]
        self._panels = Panels((10.6, 4.8), places, titles, (7.95, 0.78, 2.6, 3.95), credit)

    def show(self, image: LabelledImage, title: str) -> Figure:
        """Show another image, or the same image with other thresholds."""
        pictures = image.panels()
        legend = legend_entries([image], self.names, outcomes=True)
        alt = f"{', '.join(title.splitlines())}; {_in_words(image, self.names)}."
        return self._panels.show(title, [pictures[name] for name in self.PANELS], legend, alt)
