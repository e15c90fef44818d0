"""The picture of lesson 00: an image, its truth, and what each method predicts, with the objects' names on them."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from plopkit.lessons.training.measures import Example
from plopkit.scenario import Step, ignored_id
from plopkit.support.printable import one_line
from plopkit.viz.figures import bare, titled
from plopkit.viz.masks import overlay
from plopkit.viz.style import styled
from plopkit.viz.words import contents, each, enumerated

LEAST = 0.01
"""The share of an image that a class has to cover for its name to be written on it."""


@styled
def story(example: Example, titles: Sequence[str], names: Sequence[str], title: str, credit: str = "") -> Figure:
    """One row: the image, the truth, and the prediction of each method after the last step.

    The objects have their names written on them, so that the picture needs no legend and no colour vision.

    Args:
        example: result of `telling_example`.
        titles: a title for each method, in the example's order.
        names: class names, indexed by label.
        title: title of the figure.
        credit: attribution of the images, shown in small print.
    """
    masks = [example.truth, *example.predictions.values()]
    figure = titled(title, 2.5 * (1 + len(masks)), 3.35)
    first, *others = figure.subplots(1, 1 + len(masks))
    first.imshow(example.picture.transpose(1, 2, 0), interpolation="nearest")
    for axis, mask in zip(others, masks, strict=True):
        axis.imshow(overlay(example.picture, mask), interpolation="nearest")
        _name_objects(axis, mask, names)
    for axis, heading in zip((first, *others), ("image", "truth", *titles), strict=True):
        axis.set_title(heading, fontsize=11)
        bare(axis)
    figure.supxlabel(credit, fontsize=6, color="0.35")
    said = {heading: contents(mask, names) for heading, mask in zip(("truth", *titles), masks, strict=True)}
    figure.alt = f"{title}: the image, its truth and what each method predicts. {each(said)}."
    return figure


def objects_shown(mask: Integer[np.ndarray, "H W"], names: Sequence[str], step: Step) -> str:
    """The classes of a mask, old or new, in words; those that are too small for `story` to name them say so.

    Args:
        mask: the true labels.
        names: class names, indexed by label.
        step: the step after which classes are old or new.
    """
    words: dict[bool, list[str]] = {True: [], False: []}
    for label in _objects(mask, names):
        when = "new" if label in step.new else "old"
        words[_has_room(mask == label)].append(f"{one_line(names[label])} ({when})")
    named, tiny = (enumerated(words[room]) if words[room] else "" for room in (True, False))
    return "; ".join(part for part in (named, tiny and f"too small for a name: {tiny}") if part) or "no object"


def _objects(mask: Integer[np.ndarray, "H W"], names: Sequence[str]) -> list[int]:
    return [label for label in np.unique(mask).tolist() if label not in (0, ignored_id(len(names)))]


def _has_room(where: Bool[np.ndarray, "H W"]) -> bool:
    """Whether a class covers enough for its name to be written on it."""
    return bool(where.mean() >= LEAST)


def _name_objects(axis: Axes, mask: Integer[np.ndarray, "H W"], names: Sequence[str]) -> None:
    """Write each class's name where it covers the most."""
    for label in _objects(mask, names):
        where = mask == label
        if _has_room(where):
            row, column = middle(where)
            side = "left" if column < 0.2 * mask.shape[1] else "right" if column > 0.8 * mask.shape[1] else "center"
            outline = [withStroke(linewidth=2.2, foreground="black")]
            words = str(names[label])
            axis.text(column, row, words, color="w", fontsize=9, ha=side, va="center", path_effects=outline)


def middle(where: Bool[np.ndarray, "H W"]) -> tuple[int, int]:
    """Row and column of a pixel with nearly as many of these pixels around it as possible, close to their centre.

    "Around" is a window of a fifth of the image.
    """
    reach = max(1, min(where.shape) // 10)
    sums = np.pad(where.astype(int), reach).cumsum(0).cumsum(1)
    sums = np.pad(sums, ((1, 0), (1, 0)))
    size = 2 * reach + 1
    around = sums[size:, size:] - sums[:-size, size:] - sums[size:, :-size] + sums[:-size, :-size]
    inside = np.where(where, around, 0)
    rows, columns = np.nonzero(inside >= 0.9 * inside.max())
    centre = [places.mean() for places in np.nonzero(where)]
    nearest = np.argmin(np.hypot(rows - centre[0], columns - centre[1]))
    return int(rows[nearest]), int(columns[nearest])
