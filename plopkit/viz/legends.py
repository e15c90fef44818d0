"""Legend entries of labels, and a legend that is fast to redraw."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Integer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from plopkit.scenario import ignored_id
from plopkit.support.moved import renamed
from plopkit.viz.colours import EDGE, legend_colour
from plopkit.viz.figures import Place, Plain, axes_at
from plopkit.viz.png import SHARP, pixels
from plopkit.viz.style import styled

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


LINE, LETTER = 0.19, 0.06  # inches


def class_patches(masks: Integer[Any, "*shape"], names: Sequence[str]) -> list[Patch]:
    """Legend entries of the labels that occur in masks, without ignored pixels; ``names`` by label."""
    ignored = ignored_id(len(names))
    labels = [int(label) for label in np.unique(masks) if label != ignored]
    return [Patch(facecolor=legend_colour(label, ignored), edgecolor=EDGE, label=names[label]) for label in labels]


class CachedLegend:
    """The legend of a figure that is redrawn often.

    Text is slow to draw, so every set of entries is drawn once and kept as a picture.

    Args:
        figure: to which the legend is added.
        place: where.
        credit: attribution of the images, shown in small print below.
    """

    def __init__(self, figure: Figure, place: Place, credit: str = ""):
        self.size = place[2:]
        self.credit = credit
        self._pictures: dict[tuple[tuple[str, Any], ...], np.ndarray] = {}
        self._axis = axes_at(figure, place)
        self._axis.set_axis_off()
        self._image = self._axis.imshow(np.zeros((2, 2, 4)), aspect="auto", extent=(0, 1, 0, 1))

    def show(self, handles: Sequence[Patch | Line2D]) -> None:
        """Show the colours and labels of these artists. The label of the axes holds the same words as text."""
        entries = tuple((str(handle.get_label()), _colour(handle)) for handle in handles)
        if entries not in self._pictures:
            self._pictures[entries] = self._draw(entries)
        self._image.set_data(self._pictures[entries])
        self._axis.set_label("; ".join(filter(None, [*(label for label, _ in entries), self.credit])))

    @styled
    def _draw(self, entries: Sequence[tuple[str, Any]]) -> np.ndarray:
        width, height = self.size
        figure = Plain(figsize=self.size)
        credit = textwrap.fill(self.credit, int(width / 0.048))
        room = height - 0.1 * (1 + credit.count("\n")) if credit else height
        corners = entry_corners([label for label, _ in entries], width, room)
        for (label, colour), (x, y) in zip(entries, corners, strict=True):
            lower = 1 - (y + 0.15) / height
            size = 0.2 / width, 0.1 / height
            figure.add_artist(Rectangle((x / width, lower), *size, facecolor=colour, edgecolor="0.4", linewidth=0.6))
            figure.text((x + 0.26) / width, lower + 0.05 / height, label, fontsize=7.5, va="center_baseline")
        figure.text(0, 0.01, credit, fontsize=6, ha="left", va="bottom")
        return pixels(figure, SHARP)  # of twice the resolution that it has on the screen, as the figure around it


def entry_corners(labels: Sequence[str], width: float, height: float) -> list[tuple[float, float]]:
    """The upper left corner of each entry, (x, y) in inches from that of the legend; lines break as in text.

    Entries begin at tab stops, as far apart as the shortest entry is wide. Lines are closer together where the height
    demands it.
    """
    needed = [0.38 + LETTER * len(label) for label in labels]
    n_stops = max(1, int(width / max(min(needed, default=0), 1.2)))
    corners, line, stop = [], 0, 0
    for need in needed:
        taken = min(n_stops, -int(-need * n_stops // width))
        if stop + taken > n_stops:
            line, stop = line + 1, 0
        corners.append((stop * width / n_stops, line))
        stop += taken
    spacing = min(LINE, height / (line + 1))
    return [(x, row * spacing) for x, row in corners]


def _colour(handle: Patch | Line2D) -> Any:
    return handle.get_color() if isinstance(handle, Line2D) else handle.get_facecolor()
