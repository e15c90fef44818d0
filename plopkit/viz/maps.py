"""Maps over images: values of regions, outlines of objects, and where a net has drifted from its teacher."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from plopkit.pod import regions_of
from plopkit.viz.masks import BACKGROUND, colour_of, overlay
from plopkit.viz.text import wrapped

HEAT = "viridis"
LINES = {"old object": "white", "new object": "black"}


def heated(
    picture: UInt8[Any, "3 H W"],
    mask: Integer[Any, "H W"],
    heat: Float[Any, "s s"],
    shape: tuple[int, int],
    top: float,
    old: Sequence[int],
    strength: float = 0.7,
) -> UInt8[np.ndarray, "Y X 3"]:
    """Regions' values over the grey picture, enlarged, with the outlines of ``LINES`` around the true objects.

    shape: height and width of the map that was cut; what its regions leave out stays grey. top: the value of the last
    colour. old: labels of the old objects; all others are new.
    """
    heat, mask = np.asarray(heat), np.asarray(mask)
    on_map = np.full(shape, np.nan)
    for value, (rows, columns) in zip(heat.flat, regions_of(*shape, len(heat)), strict=True):
        on_map[rows, columns] = value
    height, width = mask.shape
    y, x = (np.arange(side) * count // side for side, count in zip(mask.shape, shape, strict=True))
    fine = on_map[y][:, x]
    grey = np.asarray(picture, np.float32).mean(0)[..., None].repeat(3, 2)
    colours = colormaps[HEAT](np.nan_to_num(fine) / max(top, 1e-12))[..., :3] * 255
    mixed = np.where(np.isnan(fine)[..., None], grey, (1 - strength) * grey + strength * colours)
    zoom = max(1, 288 // max(height, width))
    return outlined(mixed.astype(np.uint8), mask, old, zoom)


def outlined(
    pixels: UInt8[np.ndarray, "H W 3"], mask: Integer[Any, "H W"], old: Sequence[int], zoom: int
) -> UInt8[np.ndarray, "Y X 3"]:
    """Enlarged by ``zoom``, with a white line around old objects and a black one around new ones."""
    large, labels = (np.asarray(a).repeat(zoom, 0).repeat(zoom, 1) for a in (pixels, mask))
    for name, chosen in (("new object", ~np.isin(labels, [0, 255, *old])), ("old object", np.isin(labels, old))):
        large[_border(chosen & (labels != 0))] = 255 if LINES[name] == "white" else 0
    return large


def _border(inside: np.ndarray) -> np.ndarray:
    """The pixels of an area that touch its outside, two deep."""
    core = inside.copy()
    for _ in range(2):
        padded = np.pad(core, 1, mode="edge")
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def drift_maps(
    pictures: UInt8[Any, "B 3 H W"],
    masks: Integer[Any, "B H W"],
    heats: Mapping[str, Float[Any, "B s s"]],
    shape: tuple[int, int],
    old: Sequence[int],
    names: Sequence[str],
    title: str,
    credit: str = "",
) -> Figure:
    """Rows are images; columns the truth, then each net's distance from its teacher by region, on one colour scale.

    shape: height and width of the map compared; old: labels of the old classes; names by label.
    """
    count, columns = len(pictures), 1 + len(heats)
    figure = Figure(figsize=(2.1 * columns + 1.2, 2.0 * count + 1.2), layout="constrained")
    figure.suptitle(wrapped(title, 2.1 * columns + 1.2), fontsize=11)
    axes = figure.subplots(count, columns, squeeze=False)
    top = max(float(np.max(np.asarray(heat))) for heat in heats.values())
    for line, (picture, mask) in enumerate(zip(np.asarray(pictures), np.asarray(masks), strict=True)):
        axes[line][0].imshow(overlay(picture, mask), interpolation="nearest")
        for axis, heat in zip(axes[line][1:], heats.values(), strict=True):
            axis.imshow(heated(picture, mask, heat[line], shape, top, old), interpolation="nearest")
    for axis, name in zip(axes[0], ["truth", *heats], strict=True):
        axis.set_title(name, fontsize=9)
    for axis in axes.flat:
        bare(axis)
    bar = figure.colorbar(ScalarMappable(Normalize(0, top), HEAT), ax=axes[:, 1:], shrink=0.7)
    bar.set_label("the region's part of the distance", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    handles = [*class_patches(np.asarray(masks), names), *line_handles()]
    figure.legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        fontsize=8,
        facecolor="0.85",
        title=credit or None,
        title_fontsize=6,
    )
    return figure


def class_patches(masks: np.ndarray, names: Sequence[str]) -> list[Patch]:
    """Legend entries of the labels that occur."""
    shown = [int(label) for label in np.unique(masks) if label != 255]
    colours = {0: BACKGROUND} | {label: colour_of(label) for label in shown if label}
    return [Patch(facecolor=colours[label], edgecolor="0.5", label=names[label]) for label in shown]


def line_handles() -> list[Line2D]:
    """Legend entries of the outlines; a grey edge keeps white visible."""
    return [
        Line2D([], [], color=c, linewidth=2, label=f"edge of an {n}" if n[0] in "aeiou" else f"edge of a {n}")
        for n, c in LINES.items()
    ]


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

    def _drawn(self, entries: tuple[tuple[str, Any], ...]) -> np.ndarray:
        wide, high = self.size
        figure = Figure(figsize=self.size, dpi=100)
        column = 0.38 + 0.06 * max(len(label) for label, _ in entries)
        per_row = max(1, int(wide / column))
        for place, (label, colour) in enumerate(entries):
            x, y = place % per_row * column / wide, 1 - (0.15 + place // per_row * 0.19) / high
            box = Rectangle((x, y), 0.2 / wide, 0.1 / high, facecolor=colour, edgecolor="0.4", linewidth=0.6)
            figure.add_artist(box)
            figure.text(x + 0.26 / wide, y + 0.05 / high, label, fontsize=7.5, va="center_baseline")
        credit = textwrap.fill(self.credit, int(wide / 0.048))
        figure.text(0, 0.01, credit, fontsize=6, ha="left", va="bottom")
        canvas = FigureCanvasAgg(figure)
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())


def _colour(handle: Patch | Line2D) -> Any:
    return handle.get_color() if isinstance(handle, Line2D) else handle.get_facecolor()


def bare(axis: Axes) -> None:
    """A picture's axes: no ticks, no frame."""
    axis.set(xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
