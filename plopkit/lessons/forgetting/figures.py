"""Pictures of forgetting: class by class, old against new, and pixel by pixel."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba_array
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from plopkit.lessons.forgetting.measures import KINDS, mistake_shares
from plopkit.scenario import IGNORE, N_IDS
from plopkit.viz.colours import EDGE, HEAT, MISTAKES, REST, legend_colour, method_styles
from plopkit.viz.figures import Plain, titled
from plopkit.viz.masks import overlay, unsure_picture
from plopkit.viz.style import styled
from plopkit.viz.words import contents, each

ROW = 0.23  # inches per row of small print
PANELS = ("image", "truth, classes learnt so far", "prediction", "mistakes", "uncertainty")
SIDE, STRIDE, TOP = 206, 218, 56  # pixels: a panel's side, from one panel to the next, space above them


def class_history(results: pd.DataFrame) -> pd.DataFrame:
    """IoU by class and step, the mean over seeds.

    Args:
        results: rows of ``results.csv`` of one method.

    Returns:
        A row per class, in the order learnt, indexed by (learned_at, label, name); a column per step; NaN where a class
        is not learnt yet.
    """
    table = results.pivot_table(index=["learned_at", "label", "name"], columns="step", values="iou", aggfunc="mean")
    return table.sort_index()


@styled
def class_matrix(results: pd.DataFrame, title: str) -> Figure:
    """IoU of every class after every step, a panel per method; cells are empty where a class is not learnt yet.

    White lines separate the classes of different steps.

    Args:
        results: rows of ``results.csv`` of one scenario.
        title: the figure's title.
    """
    tables = {str(method): class_history(rows) for method, rows in results.groupby("method", sort=False)}
    first = next(iter(tables.values()))
    rows, steps = first.shape
    width = 2.2 + len(tables) * max(1.6, 0.42 * steps)
    figure = titled(title, width, 1.4 + ROW * rows)
    axes = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axis, (method, table) in zip(axes, tables.items(), strict=True):
        values = table.to_numpy()
        heat_map = axis.imshow(values, cmap=HEAT, vmin=0, vmax=100, aspect="auto")
        for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
            dark = values[row, column] < 55
            colour = "white" if dark else "black"
            axis.text(column, row, f"{values[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour)
        learnt_in = table.index.get_level_values("learned_at").to_numpy()
        for border in np.flatnonzero(np.diff(learnt_in)):
            axis.axhline(border + 0.5, color="white", linewidth=2)
        axis.set_title(method, fontsize=9)
        axis.set_xlabel("after step")
        axis.set_xticks(range(values.shape[1]), table.columns)
        axis.set_facecolor(REST)
    axes[0].set_yticks(range(rows), [f"{name} ({learnt_in})" for learnt_in, _, name in first.index], fontsize=8)
    axes[0].set_ylabel("class (step in which it is learnt)")
    figure.colorbar(heat_map, ax=axes, label="IoU (%)", fraction=0.05, aspect=40)
    lost = {method: f"{(table.iloc[:, -1] < 1).sum()}" for method, table in tables.items()}
    figure.alt = f"{title}: a heat map of the IoU of {rows} classes. Below 1 % after the last step: {each(lost)}."
    return figure


@styled
def drop_bars(forgetting: pd.DataFrame, title: str) -> Figure:
    """The IoU that each class has lost, best step minus last step; a bar per method, the mean over seeds.

    The classes of the last step are left out, because they have had no time to be forgotten.

    Args:
        forgetting: rows of ``plopkit.forgetting_table`` of one scenario.
        title: the figure's title.
    """
    learned_at = forgetting["learned_at"]
    shown = forgetting[(learned_at < learned_at.max()) | (learned_at == 0)]
    keys = ["learned_at", "label", "name"]
    table = shown.pivot_table(index=keys, columns="method", values="forgetting", sort=False).sort_index()
    methods = [str(method) for method in shown["method"].unique()]
    styles = method_styles(methods)
    learnt_in = table.index.get_level_values("learned_at").to_numpy()
    places = np.arange(len(table)) + learnt_in * 0.6  # a gap between the steps
    width = max(6.5, 2.5 + 0.42 * len(table))
    figure = titled(title, width, 3.9)
    axis = figure.subplots()
    bar_width = 0.84 / len(methods)
    for index, method in enumerate(methods):
        shift = (index - (len(methods) - 1) / 2) * bar_width
        axis.bar(places + shift, table[method], bar_width, color=styles[method]["color"], label=method)
    axis.set_xticks(places, table.index.get_level_values("name"), rotation=60, ha="right", rotation_mode="anchor")
    axis.tick_params(axis="x", labelsize=8)
    for step in np.unique(learnt_in):
        axis.text(
            places[learnt_in == step][0] - 0.45, 1.01, f"step {step}", fontsize=8, transform=axis.get_xaxis_transform()
        )
    axis.set_xlabel("class, by the step in which it is learnt")
    axis.set_ylabel("best minus last IoU (points)")
    axis.margins(x=0.02)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    figure.legend(title="method", loc="outside right upper", fontsize=8, title_fontsize=8)
    said = {method: f"{table[method].mean():.1f}" for method in methods}
    figure.alt = f"{title}: bars of the IoU that {len(table)} classes have lost. Means in points: {each(said)}."
    return figure


@styled
def trade_off(summary: pd.DataFrame, title: str) -> Figure:
    """mIoU of old against new classes: each method's path through the numbered steps, the last marker large.

    Step 0 has no new classes; a dashed line shows its mIoU.

    Args:
        summary: rows of ``summary.csv`` of one scenario; the mean over seeds is drawn.
        title: the figure's title.
    """
    methods = [str(method) for method in summary["method"].unique()]
    styles = method_styles(methods)
    figure = titled(title, 7.2, 4.4)
    axis = figure.subplots()
    before = summary.loc[summary["step"] == 0, "old_nobg"].mean()
    axis.axhline(before, color="0.4", linestyle="--", linewidth=1, label="old, after step 0")
    said = {}
    for method in methods:
        rows = summary[summary["method"] == method]
        path = rows.groupby("step")[["new", "old_nobg"]].mean().dropna()
        if not len(path):
            continue
        colour, marker = styles[method]["color"], styles[method]["marker"]
        axis.plot(path["new"], path["old_nobg"], color=colour, marker=marker, markersize=5, linewidth=1.2, alpha=0.7)
        axis.plot(*path.iloc[-1], color=colour, marker=marker, markersize=11, linestyle="", label=method)
        said[method] = f"old {path['old_nobg'].iloc[-1]:.1f}, new {path['new'].iloc[-1]:.1f}"
        for step, (new, old) in path.iterrows():
            axis.annotate(str(step), (new, old), (7, 3), textcoords="offset points", fontsize=8, color=colour)
    axis.set_xlabel("mIoU of the classes learnt since step 0 (%)")
    axis.set_ylabel("mIoU of the classes of step 0,\nwithout background (%)")
    axis.set_xlim(-1, max(12, 1.15 * _largest(summary["new"])))
    axis.set_ylim(-3, max(30, 1.15 * _largest(summary["old_nobg"])))
    axis.grid(alpha=0.3)
    figure.legend(title="after the last step", loc="outside right upper", fontsize=8, title_fontsize=8)
    figure.alt = f"{title}: paths of mIoU. Old after step 0 {before:.1f} %; at the end {each(said)}."
    return figure


def colour_mistakes(kinds: UInt8[np.ndarray, "H W"]) -> UInt8[np.ndarray, "H W 3"]:
    """Kinds of mistakes as colours; ignored pixels are white."""
    table = np.full((N_IDS, 3), 255, np.uint8)
    colours = list(MISTAKES.values())
    table[: len(colours)] = (255 * to_rgba_array(colours)[:, :3]).round()
    return table[kinds]


@styled
def mistakes_figure(
    image: UInt8[np.ndarray, "3 H W"],
    truth: UInt8[np.ndarray, "H W"],
    prediction: UInt8[np.ndarray, "H W"],
    kinds: UInt8[np.ndarray, "H W"],
    uncertainty: Float[np.ndarray, "H W"],
    names: Sequence[str],
    title: str,
    credit: str = "",
) -> Figure:
    """One image after one step, in five panels: image, truth, prediction, kinds of mistakes, uncertainty.

    Everything, legends included, is drawn on one axis whose unit is a pixel: a picture that follows a slider has to be
    quick, and matplotlib's own legends and axes take longer than all the rest.

    Args:
        image: the image.
        truth: the true labels as they count after the step.
        prediction: the predicted labels.
        kinds: the kinds of mistakes, from ``classify_mistakes``.
        uncertainty: the net's uncertainty in [0, 1].
        names: the labels' names.
        title: the figure's title.
        credit: attribution of the image, shown in small print.
    """
    labels = np.unique(np.stack([truth, prediction])).tolist()
    classes = [(legend_colour(label), "ignored" if label == IGNORE else str(names[label])) for label in labels]
    kind_names = [f"{name}: {share:.0%}" for name, share in zip(KINDS, mistake_shares(kinds), strict=True)]
    scale = [(tuple(unsure_picture(np.full((1, 1), v))[0, 0] / 255), f"{v:g}") for v in (0.0, 0.5, 1.0)]
    width = 15 + STRIDE * len(PANELS)
    below = TOP + SIDE + 24
    bottom = below + 58 + 18 * (_rows(classes, 3 * STRIDE) - 1)
    figure = Plain(figsize=(width / 100, (bottom + 52) / 100))
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(bottom + 52, 0))
    axis.set_axis_off()
    axis.text(12, 20, title, fontsize=11, va="center")
    coloured = (overlay(image, truth), overlay(image, prediction), colour_mistakes(kinds), unsure_picture(uncertainty))
    for index, picture in enumerate((image.transpose(1, 2, 0), *coloured)):
        left = 12 + STRIDE * index
        axis.text(left + SIDE / 2, TOP - 9, PANELS[index], fontsize=9, ha="center")
        axis.imshow(picture, extent=(left, left + SIDE, TOP + SIDE, TOP), aspect="auto", interpolation="nearest")
    axis.set(xlim=(0, width), ylim=(bottom + 52, 0))  # imshow moves them
    _legend(axis, (12, below), "classes", classes, 3 * STRIDE)
    _legend(axis, (12 + 4 * STRIDE, below), "certain (0) to uncertain (1)", scale, STRIDE)
    mistakes = list(zip(MISTAKES.values(), kind_names, strict=True))
    _legend(axis, (12, bottom), "mistakes, in percent of the pixels that are not ignored", mistakes, width)
    axis.text(width - 12, bottom + 45, credit, fontsize=6, ha="right")
    kinds_said = ", ".join(kind_names)
    figure.alt = f"{title}: truth {contents(truth, names)}; prediction {contents(prediction, names)}; {kinds_said}."
    return figure


Entry = tuple[str | tuple[float, ...], str]
"""A legend's entry: its colour and its text."""


def _columns(entries: Sequence[Entry], width: float) -> tuple[int, float]:
    """How many entries fit into a row, and how wide each is."""
    each = 34 + 7 * max(len(text) for _, text in entries)
    return max(1, int(width // each)), each


def _rows(entries: Sequence[Entry], width: float) -> int:
    return -(-len(entries) // _columns(entries, width)[0])


def _legend(axis: Axes, corner: tuple[float, float], title: str, entries: Sequence[Entry], width: float) -> None:
    """A title, and the entries in rows below it."""
    columns, each = _columns(entries, width)
    left, top = corner
    axis.text(left, top, title, fontsize=8, color="0.3", va="center")
    for index, (colour, text) in enumerate(entries):
        row, column = divmod(index, columns)
        x, y = left + column * each, top + 18 + 18 * row
        axis.add_patch(Rectangle((x, y - 5), 16, 10, facecolor=colour, edgecolor=EDGE, linewidth=0.8))
        axis.text(x + 21, y, text, fontsize=8, va="center")


def _largest(values: Sequence[float] | pd.Series) -> float:
    array = np.asarray(values, float)
    return float(np.nanmax(array)) if np.isfinite(array).any() else 0.0
