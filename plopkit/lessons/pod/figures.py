"""Local POD, drawn: how it cuts a map, the embedding, and where a net has drifted from its teacher."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch, Rectangle

from plopkit.pod import local_pod, regions_of
from plopkit.scenario import IGNORE
from plopkit.viz.colours import HEAT, OUTLINES, OVER_COLUMNS, OVER_ROWS
from plopkit.viz.figures import bare, legend_below, titled
from plopkit.viz.legends import class_patches
from plopkit.viz.masks import grey, overlay
from plopkit.viz.style import styled
from plopkit.viz.words import contents, each

# The embedding.


@styled
def pod_cut(picture: UInt8[Any, "3 H W"], values: Float[Any, "h w"], scales: Sequence[int], title: str) -> Figure:
    """How local POD cuts one channel of a map: the image, then the regions of each scale, moved apart.

    The strip at the right of a region is the mean over its columns, the strip below it the mean over its rows.

    Args:
        picture: the image.
        values: one channel of a map.
        scales: a panel each.
        title: title of the figure.
    """
    values = np.asarray(values)
    figure = titled(title, 9, 3.0)
    first, *others = figure.subplots(1, 1 + len(scales))
    first.imshow(np.asarray(picture).transpose(1, 2, 0))
    first.set_title("image", fontsize=9)
    norm = Normalize(values.min(), values.max())
    for axis, scale in zip(others, scales, strict=True):
        _draw_regions(axis, values, scale, norm)
        parts = "1 region" if scale == 1 else f"{scale} x {scale} regions"
        axis.set_title(f"scale {scale}: {parts}", fontsize=9)
    for axis in (first, *others):
        bare(axis)
    bar = figure.colorbar(ScalarMappable(norm, HEAT), ax=others, shrink=0.7)
    bar.set_label("value of the map (no unit)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    meanings = {
        OVER_COLUMNS: "right of a region: mean over its columns, one value per row",
        OVER_ROWS: "below a region: mean over its rows, one value per column",
    }
    patches = [Patch(facecolor="white", edgecolor=colour, label=words) for colour, words in meanings.items()]
    legend_below(figure, patches, 2)
    cuts = ", ".join(f"{scale * scale}" for scale in scales)
    figure.alt = (
        f"{title}: an image and one channel of its map, {values.shape[0]} x {values.shape[1]} values from "
        f"{values.min():.2f} to {values.max():.2f}, cut into {cuts} regions with the means of their rows and columns."
    )
    return figure


def _draw_regions(axis: Axes, values: np.ndarray, scale: int, norm: Normalize) -> None:
    height, width = values.shape
    thick, gap, margin = 0.07 * width, 0.02 * width, 0.06 * width
    step = thick + gap + margin
    for number, (rows, columns) in enumerate(regions_of(height, width, scale)):
        block = values[rows, columns]
        down, right = divmod(number, scale)
        left, top = columns.start + right * step, rows.start + down * step
        high, wide = block.shape
        boxes = [
            (block, left, top, wide, high, "0.3"),
            (block.mean(1, keepdims=True), left + wide + gap, top, thick, high, OVER_COLUMNS),
            (block.mean(0, keepdims=True), left, top + high + gap, wide, thick, OVER_ROWS),
        ]
        for part, x, y, w, h, edge in boxes:
            axis.imshow(part, cmap=HEAT, norm=norm, extent=(x, x + w, y + h, y), interpolation="nearest")
            axis.add_patch(Rectangle((x, y), w, h, fill=False, edgecolor=edge, linewidth=0.8))
    axis.set(xlim=(-gap, width + scale * step), ylim=(height + scale * step, -gap), aspect="equal")


@styled
def pod_vector(values: Float[Any, "h w"], scales: Sequence[int], title: str) -> Figure:
    """One channel's part of the embedding as bars, in the order of `local_pod`; the colour shows the kind of mean."""
    embedded = local_pod(torch.as_tensor(values)[None, None], scales)[0].numpy()
    height, width = np.asarray(values).shape
    figure = titled(title, 9, 2.4)
    axis = figure.subplots()
    start = 0
    for scale in scales:
        axis.axvline(start - 0.5, color="0.4", linewidth=0.8)
        axis.annotate(f"scale {scale}", (start, 1.01), xycoords=("data", "axes fraction"), fontsize=8)
        for rows, columns in regions_of(height, width, scale):
            for length, colour in ((rows.stop - rows.start, OVER_COLUMNS), (columns.stop - columns.start, OVER_ROWS)):
                place = slice(start, start + length)
                axis.bar(np.arange(start, start + length), embedded[place], width=1, color=colour)
                start += length
    axis.set(xlim=(-0.5, start - 0.5), xlabel="index in the embedding", ylabel="mean of the map (no unit)")
    axis.grid(axis="y", alpha=0.3)
    kinds = {"mean over columns": OVER_COLUMNS, "mean over rows": OVER_ROWS}
    patches = [Patch(facecolor=colour, label=name) for name, colour in kinds.items()]
    figure.legend(handles=patches, loc="outside right upper", fontsize=8, frameon=False)
    ends = f"from {embedded.min():.2f} to {embedded.max():.2f}"
    figure.alt = (
        f"{title}: {start} bars, the means over columns and over rows at scales {', '.join(map(str, scales))}, {ends}."
    )
    return figure


# Drift.


@styled
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
    """Rows are images; columns are the truth and each net's distance from its teacher by region, on one colour scale.

    Args:
        pictures: the images.
        masks: their true labels.
        heats: each net's distances by region, by the net's name.
        shape: height and width of the feature map.
        old: labels of the old classes.
        names: class names, indexed by label.
        title: title of the figure.
        credit: attribution of the images, shown in small print.
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
    bar.set_label("distance of the region (no unit)", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    handles = [*class_patches(np.asarray(masks), names), *outline_handles()]
    legend_below(figure, handles, 4, credit, background="0.85")
    said = {name: f"{np.mean(np.asarray(heat)):.3g}" for name, heat in heats.items()}
    shown = contents(np.asarray(masks), names)
    figure.alt = f"{title}: {count} images that show {shown}. Mean distance of a region from the teacher: {each(said)}."
    return figure


def heated(
    picture: UInt8[Any, "3 H W"],
    mask: Integer[Any, "H W"],
    heat: Float[Any, "s s"],
    shape: tuple[int, int],
    top: float,
    old: Sequence[int],
    strength: float = 0.7,
) -> UInt8[np.ndarray, "Y X 3"]:
    """Values of regions as colours over an image in grey, enlarged, with outlines of the true objects.

    Args:
        picture: the image.
        mask: its true labels.
        heat: a value per region.
        shape: height and width of the map that was cut; the image stays grey where no region covers it.
        top: the value that has the last colour.
        old: labels of the old classes; all other objects are new.
        strength: strength of the colours, 0 to 1.
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
    """A picture enlarged by ``zoom``, with a white line around old objects and a black one around new objects."""
    large, labels = (np.asarray(a).repeat(zoom, 0).repeat(zoom, 1) for a in (pixels, mask))
    for age, chosen in (("new", ~np.isin(labels, [0, IGNORE, *old])), ("old", np.isin(labels, old))):
        large[_border(chosen & (labels != 0))] = 255 * np.array(to_rgb(OUTLINES[age]))
    return large


def _border(inside: np.ndarray) -> np.ndarray:
    """The pixels of an area within two of its border."""
    core = inside.copy()
    for _ in range(2):
        padded = np.pad(core, 1, mode="edge")
        core = core & padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & ~core


def outline_handles() -> list[Line2D]:
    """Legend entries of the outlines; the legend needs a grey background."""
    return [
        Line2D([], [], color=colour, linewidth=2, label=f"outline of {age} objects") for age, colour in OUTLINES.items()
    ]
