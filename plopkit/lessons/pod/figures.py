"""Local POD, drawn: a map's regions with their strips, and the embedding that they make."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from plopkit.pod import local_pod, regions_of
from plopkit.viz.colours import HEAT, OVER_COLUMNS, OVER_ROWS
from plopkit.viz.figures import bare, legend_below, titled


def pod_cut(picture: UInt8[Any, "3 H W"], values: Float[Any, "h w"], scales: Sequence[int], title: str) -> Figure:
    """How local POD cuts one channel of a map: the image, then for each scale the regions, moved apart, each with its
    means over columns (the strip at its right) and over rows (the strip below)."""
    values = np.asarray(values)
    figure = titled(title, 9, 3.0)
    first, *others = figure.subplots(1, 1 + len(scales))
    first.imshow(np.asarray(picture).transpose(1, 2, 0))
    first.set_title("image", fontsize=9)
    norm = Normalize(values.min(), values.max())
    for axis, scale in zip(others, scales, strict=True):
        _apart(axis, values, scale, norm)
        parts = "1 region" if scale == 1 else f"{scale} x {scale} regions"
        axis.set_title(f"scale {scale}: {parts}", fontsize=9)
    for axis in (first, *others):
        bare(axis)
    bar = figure.colorbar(ScalarMappable(norm, HEAT), ax=others, shrink=0.7)
    bar.set_label("value of the map", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    told = {
        OVER_COLUMNS: "right of a region: mean over its columns, a value per row",
        OVER_ROWS: "below: mean over its rows, one per column",
    }
    legend_below(figure, [Patch(facecolor="white", edgecolor=colour, label=words) for colour, words in told.items()], 2)
    return figure


def _apart(axis: Axes, values: np.ndarray, scale: int, norm: Normalize) -> None:
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
            axis.add_patch(_frame(x, y, w, h, edge))
    axis.set(xlim=(-gap, width + scale * step), ylim=(height + scale * step, -gap), aspect="equal")


def _frame(x: float, y: float, wide: float, high: float, colour: str) -> Rectangle:
    return Rectangle((x, y), wide, high, fill=False, edgecolor=colour, linewidth=0.8)


def pod_vector(values: Float[Any, "h w"], scales: Sequence[int], title: str) -> Figure:
    """One channel's part of the embedding, in the order of `local_pod`; colours tell which mean a value is."""
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
    axis.set(xlim=(-0.5, start - 0.5), xlabel="place in the embedding", ylabel="mean of the map")
    axis.grid(axis="y", alpha=0.3)
    kinds = {"mean over columns": OVER_COLUMNS, "mean over rows": OVER_ROWS}
    patches = [Patch(facecolor=colour, label=name) for name, colour in kinds.items()]
    figure.legend(handles=patches, loc="outside right upper", fontsize=8, frameon=False)
    return figure
