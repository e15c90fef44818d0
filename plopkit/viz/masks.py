"""Masks as colours: one colour per label everywhere, overlays, and strips of predictions through the steps."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from plopkit.viz.text import wrapped

# Twenty colours far from each other, from black and white in OKLab, for normal sight, protanopia and deuteranopia.
COLOURS = (
    "#e1a500 #1e00ff #87001e #00b4ff #f00087 #c3ff00 #4b0f87 #4be1b4 #876900 #7878c3 "
    "#961eb4 #f07878 #004b5a #ffc3ff #a55aff #2d7869 #b496c3 #789600 #e1f096 #d2d200"
).split()
BACKGROUND = "#4d4d4d"  # in legends: an overlay leaves the grey picture there
IGNORED = "#ffffff"


def palette() -> np.ndarray:
    """(256, 3) uint8: a label's colour. Background black, ignore white; beyond twenty classes the colours go round,
    each time paler."""
    table = np.zeros((256, 3), np.uint8)
    base = (255 * to_rgba_array(COLOURS)[:, :3]).round()
    for label in range(1, 255):
        turn, place = divmod(label - 1, len(base))
        share = turn / 14  # 254 labels make 13 turns
        table[label] = np.round(base[place] * (1 - share) + 200 * share)
    table[255] = 255
    return table


PALETTE = palette()


def colour_of(label: int) -> tuple[float, float, float]:
    """A label's colour for matplotlib."""
    red, green, blue = PALETTE[label] / 255
    return float(red), float(green), float(blue)


def overlay(image: np.ndarray, mask: np.ndarray, strength: float = 0.7) -> np.ndarray:
    """Image (3, H, W) uint8 in grey under the colours of a mask (H, W) of labels -> (H, W, 3) uint8.

    Background stays the dimmed picture; ignored pixels are white.
    """
    grey = np.asarray(image, np.float32).mean(0)[..., None].repeat(3, 2)
    colours = PALETTE[mask].astype(np.float32)
    mixed = np.where((mask == 0)[..., None], 0.6 * grey, (1 - strength) * grey + strength * colours)
    return np.where((mask == 255)[..., None], 255, mixed).astype(np.uint8)


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
    """Pictures (H, W, 3) in rows, of which a short one ends early, with a legend of the labels ``present``."""
    shown = sorted(present - {255})
    width = 1.6 * len(columns) + 0.5
    longest = max(len(str(names[label])) for label in [*shown, 0])
    per_row = max(1, int(width / (0.55 + 0.07 * max(longest, len("ignored")))))
    legend_rows = -(-(len(shown) + 1) // per_row)
    height = 1.55 * len(rows) + 0.2 * legend_rows + 0.8
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(wrapped(title, width), fontsize=11)
    axes = figure.subplots(len(rows), len(columns), squeeze=False)
    for line, (row, row_name) in enumerate(zip(rows, row_names, strict=True)):
        for place, axis in enumerate(axes[line]):
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
            if place < len(row):
                axis.imshow(row[place], interpolation="nearest")
            if line == 0:
                axis.set_title(columns[place], fontsize=9)
        axes[line][0].set_ylabel(row_name, fontsize=9)
    colours = {0: BACKGROUND} | {label: colour_of(label) for label in shown if label}
    patches = [Patch(facecolor=colours[label], edgecolor="0.5", label=names[label]) for label in shown]
    patches.append(Patch(facecolor=IGNORED, edgecolor="0.5", label="ignored"))
    figure.legend(
        handles=patches,
        loc="outside lower center",
        ncols=per_row,
        fontsize=8,
        frameon=False,
        title=credit,
        title_fontsize=6,
    )
    return figure
