"""Pseudo-labels over images: what the teacher says, how sure it is, what becomes of it, and what of that is right."""

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
from plopkit.lessons.pseudo.measures import Judged, classify_pseudo_labels
from plopkit.pseudo import Thresholds, pseudo_label
from plopkit.scenario import Step
from plopkit.support.errors import unknown
from plopkit.viz.colours import EDGE, IGNORED, PSEUDO_LABELS, UNCERTAINTY_HEAT
from plopkit.viz.figures import bare, legend_below, titled
from plopkit.viz.legends import class_patches
from plopkit.viz.masks import overlay, unsure_picture
from plopkit.viz.panels import Panels

JUDGED = {
    kind: (PSEUDO_LABELS[kind.name.lower()], words)
    for kind, words in {
        Judged.RIGHT: "right",
        Judged.UNSURE: "not sure: no label",
        Judged.GIVEN: "labelled as new, or ignored",
        Judged.MISSED: "old object called background",
        Judged.CONFUSED: "old object called another class",
        Judged.INVENTED: "background called an old class",
        Judged.FUTURE: "object of a later step called old",
    }.items()
}
"""Colour and words of each kind."""


class Shown(NamedTuple):
    """One image's pseudo-labels, all masks in labels."""

    picture: UInt8[np.ndarray, "3 H W"]
    given: Integer[np.ndarray, "H W"]
    """the training mask"""
    predicted: Integer[np.ndarray, "H W"]
    """by the teacher"""
    uncertainty: Float[np.ndarray, "H W"]
    sure: Bool[np.ndarray, "H W"]
    labelled: Integer[np.ndarray, "H W"]
    """the target with pseudo-labels, 255 where there is none"""
    judged: Integer[np.ndarray, "H W"]
    truth: Integer[np.ndarray, "H W"]
    factor: float
    """the adaptive factor"""
    most: float
    """the largest uncertainty there is, that of equal probabilities"""

    def panels(self) -> dict[str, UInt8[np.ndarray, "H W 3"]]:
        """All as colours, by name."""
        sure = np.where((self.judged == Judged.GIVEN)[..., None], 0.5, self.sure[..., None] * np.ones(3))
        table = np.array([to_rgb(JUDGED[kind][0]) for kind in Judged])
        return {
            "image": self.picture.transpose(1, 2, 0),
            "training mask": overlay(self.picture, self.given),
            "teacher": overlay(self.picture, self.predicted),
            "uncertainty": unsure_picture(self.uncertainty / self.most),
            "sure (white)": (255 * sure).astype(np.uint8),
            "target": overlay(self.picture, self.labelled),
            "truth": overlay(self.picture, self.truth),
            "right and wrong": (255 * table[self.judged]).astype(np.uint8),
        }


def shown(
    old_logits: Float[Tensor, "B C_old H W"],
    pictures: UInt8[Tensor, "B 3 H W"],
    target: Int[Tensor, "B H W"],
    masks: Int[Tensor, "B H W"],
    step: Step,
    thresholds: Thresholds,
) -> list[Shown]:
    """Every image's pseudo-labels: from the teacher's logits, the training masks' channels and the true labels."""
    pseudo = pseudo_label(old_logits, target, step.n_old, thresholds)
    judged = classify_pseudo_labels(pseudo.target, target, masks, step)
    given, predicted, labelled = (
        labels_of(channels, step) for channels in (target, old_logits.argmax(1), pseudo.target)
    )
    parts = (pictures, given, predicted, pseudo.uncertainty, pseudo.sure, labelled, judged, masks)
    arrays = [part.cpu().numpy() for part in parts]
    most = float(thresholds.uncertainty(torch.zeros(1, step.n_old, 1, 1)))
    return [Shown._make((*row, float(factor), most)) for *row, factor in zip(*arrays, pseudo.factor, strict=True)]


def pseudo_rows(
    images: Sequence[Shown],
    panels: Sequence[str],
    names: Sequence[str],
    title: str,
    credit: str = "",
) -> Figure:
    """Rows are images, with their adaptive factors; columns the chosen panels of `Shown`.

    names by label. ValueError for a panel that there is not.
    """
    width, heat = 1.75 * len(panels) + 0.4, "uncertainty" in panels
    figure = titled(title, width, 1.7 * len(images) + 1.2)
    axes = figure.subplots(len(images), len(panels), squeeze=False)
    for line, one in zip(axes, images, strict=True):
        pictures = one.panels()
        for name in panels:
            if name not in pictures:
                raise unknown("panel", name, pictures)
        for axis, name in zip(line, panels, strict=True):
            axis.imshow(pictures[name], interpolation="nearest")
            bare(axis)
        line[0].set_ylabel(f"factor {one.factor:.2f}", fontsize=9)
    for axis, name in zip(axes[0], panels, strict=True):
        axis.set_title(name, fontsize=9)
    if heat:
        bar = figure.colorbar(
            ScalarMappable(Normalize(0, images[0].most), UNCERTAINTY_HEAT), ax=axes[:, -1], shrink=0.7, aspect=30
        )
        bar.set_label("uncertainty", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    judged = "right and wrong" in panels
    handles = legend_of(images, names, judged)
    if not judged and {"training mask", "target", "truth"} & set(panels):
        handles.append(Patch(facecolor=IGNORED, edgecolor=EDGE, label="no label, or ignored"))
    if not judged and "sure (white)" in panels:
        handles.append(Patch(facecolor=JUDGED[Judged.GIVEN][0], edgecolor=EDGE, label=JUDGED[Judged.GIVEN][1]))
    columns = max(2, int(width / 2.4))
    legend_below(figure, handles, columns, credit)
    return figure


def legend_of(images: Sequence[Shown], names: Sequence[str], judged: bool) -> list[Patch]:
    """Entries of the labels that occur and, if ``judged``, of the kinds of right and wrong."""
    masks = np.stack([mask for one in images for mask in (one.given, one.predicted, one.labelled, one.truth)])
    patches = class_patches(masks, names)
    kinds = {kind for one in images for kind in np.unique(one.judged)} | set(Judged) - {Judged.FUTURE}
    told = [JUDGED[kind] for kind in JUDGED if judged and kind in kinds]
    return patches + [Patch(facecolor=colour, edgecolor=EDGE, label=words) for colour, words in told]


class PseudoView:
    """One image's pseudo-labels and which of them are right, updated in place.

    Args:
        names: by label.
        credit: whose pictures are shown, in small print.
    """

    PANELS = ("teacher", "uncertainty", "sure (white)", "target", "truth", "right and wrong")

    def __init__(self, names: Sequence[str], credit: str = ""):
        self.names = names
        places = [(0.09 + 2.04 * column, 0.7 + 2.22 * row, 1.96, 1.98) for row in range(2) for column in range(3)]
        titles = ["uncertainty (bright: high)" if name == "uncertainty" else name for name in self.PANELS]
        self._panels = Panels((9, 5.0), places, titles, (6.2, 0.7, 2.7, 4.2), credit)

    def show(self, image: Shown, title: str) -> Figure:
        """Show another image, or the same image with other thresholds."""
        pictures = image.panels()
        return self._panels.show(title, [pictures[name] for name in self.PANELS], legend_of([image], self.names, True))
