"""Masks as colours: one colour per label everywhere, overlays, and strips of predictions through the steps."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from plopkit.scenario import IGNORE
from plopkit.viz.colours import EDGE, PALETTE, UNCERTAINTY_HEAT, legend_colour
from plopkit.viz.figures import legend_below, titled


def grey(image: UInt8[Any, "3 H W"]) -> Float32[np.ndarray, "H W 3"]:
    """A picture without its colours, 0 to 255."""
    return np.asarray(image, np.float32).mean(0)[..., None].repeat(3, 2)


def overlay(image: np.ndarray, mask: np.ndarray, strength: float = 0.7) -> np.ndarray:
    """Image (3, H, W) uint8 in grey under the colours of a mask (H, W) of labels -> (H, W, 3) uint8.

    Background stays the dimmed picture; ignored pixels are white.
    """
    plain, colours = grey(image), PALETTE[mask].astype(np.float32)
    mixed = np.where((mask == 0)[..., None], 0.6 * plain, (1 - strength) * plain + strength * colours)
    return np.where((mask == IGNORE)[..., None], 255, mixed).astype(np.uint8)


def unsure_picture(unsure: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Uncertainties in [0, 1] in the colours that they have everywhere."""
    return colormaps[UNCERTAINTY_HEAT](unsure, bytes=True)[..., :3]


def strip(examples: Mapping[str, np.ndarray], title: str) -> Figure:
    """A run's examples (``RunFolder.examples``) through its steps.

    Rows are images; columns the image, the truth and each step's prediction.
    """
    images, masks, predictions = examples["images"], examples["masks"], examples["predictions"]
    stems, names = map(str, examples["stems"]), list(examples["names"])
    rows = [
        [image.transpose(1, 2, 0), overlay(image, mask), *(overlay(image, p) for p in predictions[:, i])]
        for i, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    columns = ["image", "truth", *(f"after step {k}" for k in range(len(predictions)))]
    return grid(rows, list(stems), columns, _present(masks, predictions), names, title, str(examples.get("credit", "")))


def strips(runs: Mapping[str, Mapping[str, np.ndarray]], index: int, title: str) -> Figure:
    """One image through all steps, methods side by side: ``runs`` gives each method's examples, rows are methods."""
    rows, present, names = [], set(), list(next(iter(runs.values()))["names"])
    credit = str(next(iter(runs.values())).get("credit", ""))
    for examples in runs.values():
        image, mask, predictions = (
            examples["images"][index],
            examples["masks"][index],
            examples["predictions"][:, index],
        )
        rows.append([image.transpose(1, 2, 0), overlay(image, mask), *(overlay(image, p) for p in predictions)])
        present |= _present(mask, predictions)
    steps = max(len(row) for row in rows) - 2
    columns = ["image", "truth", *(f"after step {k}" for k in range(steps))]
    return grid(rows, list(runs), columns, present, names, title, credit)


def _present(*masks: np.ndarray) -> set[int]:
    return {int(label) for mask in masks for label in np.unique(mask)}


def grid(
    rows: list[list[np.ndarray]],
    row_names: list[str],
    columns: list[str],
    present: set[int],
    names: Sequence[str],
    title: str,
    credit: str,
) -> Figure:
    """Pictures (H, W, 3) in rows, of which a short one ends early, with a legend of the labels ``present``.

    One pair of axes, where the picture of row i and column j has its middle at (j + 0.5, i + 0.5).
    """
    shown = sorted(present - {IGNORE})
    width = 1.6 * len(columns) + 0.5
    longest = max(len(str(names[label])) for label in [*shown, 0])
    per_row = max(1, int(width / (0.55 + 0.07 * max(longest, len("ignored")))))
    legend_rows = -(-(len(shown) + 1) // per_row)
    height = 1.55 * len(rows) + 0.2 * legend_rows + 0.8
    figure = titled(title, width, height)
    axis = figure.subplots()  # one for all: a pair of axes for each picture takes three times as long to draw
    axis.spines[:].set_visible(False)
    for line, row in enumerate(rows):
        for place, picture in enumerate(row):
            across, down = 0.47 * np.array([picture.shape[1], picture.shape[0]]) / max(picture.shape[:2])
            x, y = place + 0.5, line + 0.5
            axis.imshow(picture, extent=(x - across, x + across, y + down, y - down), interpolation="nearest")
    axis.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
    axis.xaxis.tick_top()
    axis.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=9)
    wrapped = [textwrap.fill(name, 18) for name in row_names]  # files may have long ones
    axis.set_yticks(np.arange(len(rows)) + 0.5, wrapped, fontsize=9, rotation=90, va="center")
    axis.tick_params(length=0, pad=0)
    told = [(label, str(names[label])) for label in shown] + [(IGNORE, "ignored")]
    patches = [Patch(facecolor=legend_colour(label), edgecolor=EDGE, label=name) for label, name in told]
    legend_below(figure, patches, per_row, credit)
    return figure
