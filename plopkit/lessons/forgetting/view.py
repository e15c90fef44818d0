"""One image after one step: truth, prediction, the kinds of mistakes, and where the net is unsure."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from plopkit.lessons.forgetting.measures import KINDS, shares
from plopkit.viz.colours import legend_colour
from plopkit.viz.figures import Plain
from plopkit.viz.masks import overlay, unsure_picture

# Okabe and Ito's; right is pale.
KIND_COLOURS = ("#e6e6e6", "#D55E00", "#56B4E9", "#CC79A7")
PANELS = ("image", "truth, classes learnt so far", "prediction", "mistakes", "uncertainty")
SIDE, STRIDE, TOP = 206, 218, 56  # pixels: of a panel, from one to the next, above them


def kinds_picture(kinds: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Kinds of mistakes in their colours; pixels that are not asked are white."""
    table = np.full((256, 3), 255, np.uint8)
    table[: len(KIND_COLOURS)] = (255 * to_rgba_array(KIND_COLOURS)[:, :3]).round()
    return table[kinds]


def mistakes_view(
    image: UInt8[np.ndarray, "3 H W"],
    truth: UInt8[np.ndarray, "H W"],
    prediction: UInt8[np.ndarray, "H W"],
    kinds: UInt8[np.ndarray, "H W"],
    unsure: Float[np.ndarray, "H W"],
    names: Sequence[str],
    title: str,
    credit: str = "",
) -> Figure:
    """Five panels; truth and prediction are labels, ``names`` those of the labels.

    All of it lies in one plain axis, in pixels, legends too: a picture that follows a slider has to be quick, and
    matplotlib's own legends and axes take longer than all the rest.
    """
    shown = sorted({int(label) for label in np.unique(np.stack([truth, prediction]))})
    classes = [(legend_colour(label), "ignored" if label == 255 else str(names[label])) for label in shown]
    parts = [f"{name}: {share:.0%}" for name, share in zip(KINDS, shares(kinds), strict=True)]
    scale = [(tuple(unsure_picture(np.full((1, 1), v))[0, 0] / 255), f"{v:g}") for v in (0.0, 0.5, 1.0)]
    width = 15 + STRIDE * len(PANELS)
    below = TOP + SIDE + 24
    bottom = below + 58 + 18 * (_rows(classes, 3 * STRIDE) - 1)
    figure = Plain(figsize=(width / 100, (bottom + 52) / 100))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(bottom + 52, 0))
    axis.set_axis_off()
    axis.text(12, 20, title, fontsize=11, va="center")
    coloured = (overlay(image, truth), overlay(image, prediction), kinds_picture(kinds), unsure_picture(unsure))
    for place, picture in enumerate((image.transpose(1, 2, 0), *coloured)):
        left = 12 + STRIDE * place
        axis.text(left + SIDE / 2, TOP - 9, PANELS[place], fontsize=9, ha="center")
        axis.imshow(picture, extent=(left, left + SIDE, TOP + SIDE, TOP), aspect="auto", interpolation="nearest")
    axis.set(xlim=(0, width), ylim=(bottom + 52, 0))  # imshow moves them
    _legend(axis, (12, below), "classes", classes, 3 * STRIDE)
    _legend(axis, (12 + 4 * STRIDE, below), "sure (0) to unsure (1)", scale, STRIDE)
    kinds_told = list(zip(KIND_COLOURS, parts, strict=True))
    _legend(axis, (12, bottom), "mistakes, in percent of the pixels that count", kinds_told, width)
    axis.text(width - 12, bottom + 45, credit, fontsize=6, ha="right")
    return figure


def _columns(words: Sequence[tuple], width: float) -> tuple[int, float]:
    """How many words fit into a row, and how wide each is."""
    each = 34 + 7 * max(len(word) for _, word in words)
    return max(1, int(width // each)), each


def _rows(words: Sequence[tuple], width: float) -> int:
    return -(-len(words) // _columns(words, width)[0])


def _legend(axis: Axes, corner: tuple[float, float], title: str, words: Sequence[tuple], width: float) -> None:
    """A title, and below it colours with their words in rows."""
    columns, each = _columns(words, width)
    left, top = corner
    axis.text(left, top, title, fontsize=8, color="0.3", va="center")
    for place, (colour, word) in enumerate(words):
        row, column = divmod(place, columns)
        x, y = left + column * each, top + 18 + 18 * row
        axis.add_patch(Rectangle((x, y - 5), 16, 10, facecolor=colour, edgecolor="0.5", linewidth=0.8))
        axis.text(x + 21, y, word, fontsize=8, va="center")
