"""Maps over images: values of regions, outlines of objects, and where a net has drifted from its teacher."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Integer, UInt8
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from plopkit.pod import regions_of
from plopkit.scenario import IGNORE
from plopkit.viz.colours import HEAT, OUTLINES
from plopkit.viz.figures import bare, legend_below, titled
from plopkit.viz.legends import class_patches
from plopkit.viz.masks import grey, overlay


def heated(
    picture: UInt8[Any, "3 H W"],
    mask: Integer[Any, "H W"],
    heat: Float[Any, "s s"],
    shape: tuple[int, int],
    top: float,
    old: Sequence[int],
    strength: float = 0.7,
) -> UInt8[np.ndarray, "Y X 3"]:
    """Regions' values over the grey picture, enlarged, with the outlines of ``OUTLINES`` around the true objects.

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
    plain = grey(picture)
    colours = colormaps[HEAT](np.nan_to_num(fine) / max(top, 1e-12))[..., :3] * 255
    mixed = np.where(np.isnan(fine)[..., None], plain, (1 - strength) * plain + strength * colours)
    zoom = max(1, 288 // max(height, width))
    return outlined(mixed.astype(np.uint8), mask, old, zoom)


def outlined(
    pixels: UInt8[np.ndarray, "H W 3"], mask: Integer[Any, "H W"], old: Sequence[int], zoom: int
) -> UInt8[np.ndarray, "Y X 3"]:
    """Enlarged by ``zoom``, with a white line around old objects and a black one around new ones."""
    large, labels = (np.asarray(a).repeat(zoom, 0).repeat(zoom, 1) for a in (pixels, mask))
    for age, chosen in (("new", ~np.isin(labels, [0, IGNORE, *old])), ("old", np.isin(labels, old))):
        large[_border(chosen & (labels != 0))] = 255 * np.array(to_rgb(OUTLINES[age]))
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
    figure = titled(title, 2.1 * columns + 1.2, 2.0 * count + 1.2)
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
    handles = [*class_patches(np.asarray(masks), names), *outline_handles()]
    legend_below(figure, handles, 4, credit, background="0.85")
    return figure


def outline_handles() -> list[Line2D]:
    """Legend entries of the outlines; a grey edge keeps white visible."""
    return [
        Line2D([], [], color=colour, linewidth=2, label=f"outline of {age} objects") for age, colour in OUTLINES.items()
    ]
