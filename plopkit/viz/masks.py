"""Masks as colours: overlays on images, and strips of predictions through the steps."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float, Float32, UInt8
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from plopkit.scenario import IGNORE, WIDE_IGNORE, ignored_id
from plopkit.support.moved import renamed
from plopkit.viz.colours import EDGE, UNCERTAINTY_HEAT, legend_colour, palette
from plopkit.viz.figures import legend_below, titled
from plopkit.viz.style import styled
from plopkit.viz.words import contents

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


def grey(image: UInt8[Any, "3 H W"]) -> Float32[np.ndarray, "H W 3"]:
    """An image without its colours, 0 to 255."""
    return np.asarray(image, np.float32).mean(0)[..., None].repeat(3, 2)


def overlay(image: np.ndarray, mask: np.ndarray, strength: float = 0.7) -> np.ndarray:
    """An image in grey under the colours of a mask.

    Background shows the image, dimmed; ignored pixels are white.

    Args:
        image: (3, H, W) uint8.
        mask: (H, W) labels. 65535 is ignored if it is uint16, else 255.
        strength: strength of the colours, 0 to 1.

    Returns:
        (H, W, 3) uint8.
    """
    ignored = WIDE_IGNORE if mask.dtype == np.uint16 else IGNORE
    plain, colours = grey(image), palette(ignored)[mask].astype(np.float32)
    mixed = np.where((mask == 0)[..., None], 0.6 * plain, (1 - strength) * plain + strength * colours)
    return np.where((mask == ignored)[..., None], 255, mixed).astype(np.uint8)


def unsure_picture(unsure: Float[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Uncertainties in [0, 1] as colours, the same in every figure."""
    return colormaps[UNCERTAINTY_HEAT](unsure, bytes=True)[..., :3]


def strip(examples: Mapping[str, np.ndarray], title: str) -> Figure:
    """A run's examples through its steps: a row per image, with the image, the truth and each step's prediction.

    Args:
        examples: `RunFolder.examples`.
    """
    images, masks, predictions = examples["images"], examples["masks"], examples["predictions"]
    rows = [
        _through_the_steps(image, mask, predictions[:, index])
        for index, (image, mask) in enumerate(zip(images, masks, strict=True))
    ]
    stems, names = [str(stem) for stem in examples["stems"]], list(examples["names"])
    credit = str(examples.get("credit", ""))
    said = [
        f"{stem}: {_in_words(mask, predictions[:, index], names)}"
        for index, (stem, mask) in enumerate(zip(stems, masks, strict=True))
    ]
    columns = _columns(len(predictions))
    return grid(rows, stems, columns, _present(masks, predictions), names, title, credit, alt="; ".join(said))


def strips(runs: Mapping[str, Mapping[str, np.ndarray]], index: int, title: str) -> Figure:
    """One image through the steps, a row per method.

    Args:
        runs: each method's examples.
        index: position of the image among the examples.
    """
    first = next(iter(runs.values()))
    names, credit = list(first["names"]), str(first.get("credit", ""))
    rows, present, said = [], set(), []
    for method, examples in runs.items():
        mask, predictions = examples["masks"][index], examples["predictions"][:, index]
        rows.append(_through_the_steps(examples["images"][index], mask, predictions))
        present |= _present(mask, predictions)
        said.append(f"{method}: {_in_words(mask, predictions, names)}")
    columns = _columns(max(len(row) for row in rows) - 2)
    return grid(rows, list(runs), columns, present, names, title, credit, alt="; ".join(said))


def _in_words(mask: np.ndarray, predictions: np.ndarray, names: Sequence[str]) -> str:
    """The truth and the last prediction in words."""
    return f"truth {contents(mask, names)}, after the last step {contents(predictions[-1], names)}"


def _through_the_steps(image: np.ndarray, mask: np.ndarray, predictions: np.ndarray) -> list[np.ndarray]:
    return [image.transpose(1, 2, 0), overlay(image, mask), *(overlay(image, labels) for labels in predictions)]


def _columns(n_steps: int) -> list[str]:
    return ["image", "truth", *(f"after step {step}" for step in range(n_steps))]


def _present(*masks: np.ndarray) -> set[int]:
    return {int(label) for mask in masks for label in np.unique(mask)}


@styled
def grid(
    rows: list[list[np.ndarray]],
    row_names: list[str],
    columns: list[str],
    present: set[int],
    names: Sequence[str],
    title: str,
    credit: str,
    alt: str,
) -> Figure:
    """Pictures in rows and columns, with a legend of labels.

    All are drawn in one pair of axes, as a pair for each picture takes three times as long. The picture of row i and
    column j has its centre at (j + 0.5, i + 0.5). Rows are lower where all pictures are wider than high.

    Args:
        rows: pictures (H, W, 3); a row may end early.
        row_names: at the left.
        columns: names above the columns.
        present: the labels in the legend.
        names: class names, indexed by label.
        credit: attribution of the images, shown in small print.
        alt: what the pictures show, in words.
    """
    ignored = ignored_id(len(names))
    labels = sorted(present - {ignored})
    width = 1.6 * len(columns) + 0.5
    longest = max(len(str(names[label])) for label in [*labels, 0])
    per_row = max(1, int(width / (0.55 + 0.07 * max(longest, len("ignored")))))
    legend_rows = -(-(len(labels) + 1) // per_row)
    shapes = [picture.shape[:2] for row in rows for picture in row]
    tall = max(0.6, *(high / max(high, wide) for high, wide in shapes))  # of a row that is as high as a column is wide
    height = 1.55 * tall * len(rows) + 0.2 * legend_rows + 0.8
    figure = titled(title, width, height)
    axis = figure.subplots()
    axis.spines[:].set_visible(False)
    for line, row in enumerate(rows):
        for place, picture in enumerate(row):
            high, wide = picture.shape[:2]
            across, down = 0.47 * wide / max(high, wide), 0.47 * high / max(high, wide) / tall
            x, y = place + 0.5, line + 0.5
            axis.imshow(picture, extent=(x - across, x + across, y + down, y - down), interpolation="nearest")
    axis.set(xlim=(0, len(columns)), ylim=(len(rows), 0), aspect=tall)
    axis.xaxis.tick_top()
    axis.set_xticks(np.arange(len(columns)) + 0.5, columns, fontsize=9)
    wrapped = [textwrap.fill(name, int(18 * tall)) for name in row_names]  # file names may be long
    axis.set_yticks(np.arange(len(rows)) + 0.5, wrapped, fontsize=9, rotation=90, va="center")
    axis.tick_params(length=0, pad=0)
    entries = [(label, str(names[label])) for label in labels] + [(ignored, "ignored")]
    patches = [Patch(facecolor=legend_colour(label, ignored), edgecolor=EDGE, label=name) for label, name in entries]
    legend_below(figure, patches, per_row, credit)
    figure.alt = f"{title}: {len(rows)} x {len(columns)} pictures. {alt}."
    return figure
