"""Legend entries of labels, and a legend that is quick to redraw."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Integer
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from plopkit.scenario import IGNORE
from plopkit.viz.colours import EDGE, legend_colour
from plopkit.viz.figures import Plain
from plopkit.viz.png import pixels

LINE, LETTER = 0.19, 0.06  # inches


def class_patches(masks: Integer[Any, "*shape"], names: Sequence[str]) -> list[Patch]:
    """Legend entries of the labels that occur, without 255."""
    shown = [int(label) for label in np.unique(masks) if label != IGNORE]
    return [Patch(facecolor=legend_colour(label), edgecolor=EDGE, label=names[label]) for label in shown]


class Swatches:
    """The legend of a figure that is drawn again and again: words are slow to draw, so they are kept as a picture, and
    drawn anew only where other entries are to be shown. The place is in inches from the figure's upper left corner."""

    def __init__(self, figure: Figure, left: float, top: float, width: float, height: float, credit: str = ""):
        wide, high = figure.get_size_inches()
        self.size = width, height
        self.credit = credit
        self._pictures: dict[tuple[tuple[str, Any], ...], np.ndarray] = {}
        self._axis = figure.add_axes((left / wide, 1 - (top + height) / high, width / wide, height / high))
        self._axis.set_axis_off()
        self._image = self._axis.imshow(np.zeros((2, 2, 4)), aspect="auto", extent=(0, 1, 0, 1))

    def show(self, handles: Sequence[Patch | Line2D]) -> None:
        """The colours and labels of patches and lines. The axes' label tells them in words."""
        entries = tuple((str(handle.get_label()), _colour(handle)) for handle in handles)
        if entries not in self._pictures:
            self._pictures[entries] = self._drawn(entries)
        self._image.set_data(self._pictures[entries])
        self._axis.set_label("; ".join(filter(None, [*(label for label, _ in entries), self.credit])))

    def _drawn(self, entries: Sequence[tuple[str, Any]]) -> np.ndarray:
        wide, high = self.size
        figure = Plain(figsize=self.size)
        credit = textwrap.fill(self.credit, int(wide / 0.048))
        room = high - 0.1 * (1 + credit.count("\n")) if credit else high
        for (label, colour), (x, y) in zip(entries, places([label for label, _ in entries], wide, room), strict=True):
            lower = 1 - (y + 0.15) / high
            box = Rectangle((x / wide, lower), 0.2 / wide, 0.1 / high, facecolor=colour, edgecolor="0.4", linewidth=0.6)
            figure.add_artist(box)
            figure.text((x + 0.26) / wide, lower + 0.05 / high, label, fontsize=7.5, va="center_baseline")
        figure.text(0, 0.01, credit, fontsize=6, ha="left", va="bottom")
        return pixels(figure)


def places(labels: Sequence[str], width: float, height: float) -> list[tuple[float, float]]:
    """Where each entry begins, (x, y) in inches from the upper left corner, in lines as text flows.

    Entries begin at tab stops that the shortest of them would need; lines come closer where the height asks for it.
    """
    needed = [0.38 + LETTER * len(label) for label in labels]
    stops = max(1, int(width / max(min(needed), 1.2)))
    found, line, stop = [], 0, 0
    for need in needed:
        taken = min(stops, -int(-need * stops // width))
        if stop + taken > stops:
            line, stop = line + 1, 0
        found.append((stop * width / stops, line))
        stop += taken
    apart = min(LINE, height / (line + 1))
    return [(x, row * apart) for x, row in found]


def _colour(handle: Patch | Line2D) -> Any:
    return handle.get_color() if isinstance(handle, Line2D) else handle.get_facecolor()
