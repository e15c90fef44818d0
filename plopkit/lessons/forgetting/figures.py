"""What was forgotten, from the tables of finished runs: class by class, and old against new."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from plopkit.viz.colours import method_styles
from plopkit.viz.figures import titled

ROW = 0.23  # inches for a line of small print


def class_history(results: pd.DataFrame) -> pd.DataFrame:
    """Rows of ``results.csv`` of one method -> IoU, a row per class in the order learnt, a column per step.

    The mean over seeds; NaN where a class is not learnt yet. The index is (learned_at, label, name).
    """
    table = results.pivot_table(index=["learned_at", "label", "name"], columns="step", values="iou", aggfunc="mean")
    return table.sort_index()


def class_matrix(results: pd.DataFrame, title: str) -> Figure:
    """IoU of every class after every step, a panel per method; empty where a class is not learnt yet.

    results: rows of ``results.csv`` of one scenario. White lines part the classes of one step from the next.
    """
    tables = {str(method): class_history(rows) for method, rows in results.groupby("method", sort=False)}
    first = next(iter(tables.values()))
    rows, steps = first.shape
    width = 2.2 + len(tables) * max(1.6, 0.42 * steps)
    figure = titled(title, width, 1.4 + ROW * rows)
    axes = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axis, (method, table) in zip(axes, tables.items(), strict=True):
        values = table.to_numpy()
        drawn = axis.imshow(values, cmap="viridis", vmin=0, vmax=100, aspect="auto")
        for row, column in zip(*np.nonzero(np.isfinite(values)), strict=True):
            dark = values[row, column] < 55
            colour = "white" if dark else "black"
            axis.text(column, row, f"{values[row, column]:.0f}", ha="center", va="center", fontsize=7, color=colour)
        brought = table.index.get_level_values("learned_at").to_numpy()
        for border in np.flatnonzero(np.diff(brought)):
            axis.axhline(border + 0.5, color="white", linewidth=2)
        axis.set_title(method, fontsize=9)
        axis.set_xlabel("after step")
        axis.set_xticks(range(values.shape[1]), table.columns)
        axis.set_facecolor("0.9")
    axes[0].set_yticks(range(rows), [f"{name} ({brought})" for brought, _, name in first.index], fontsize=8)
    axes[0].set_ylabel("class (the step that brought it)")
    figure.colorbar(drawn, ax=axes, label="IoU (%)", fraction=0.05, aspect=40)
    return figure


def drops(lost: pd.DataFrame, title: str) -> Figure:
    """Points of IoU that each class lost, its best step minus the last; a bar per method, the mean over seeds.

    lost: rows of ``plopkit.forgetting_table`` of one scenario. The last step's classes have had no time to be lost,
    and are left out.
    """
    kept = lost[(lost["learned_at"] < lost["learned_at"].max()) | (lost["learned_at"] == 0)]
    keys = ["learned_at", "label", "name"]
    table = kept.pivot_table(index=keys, columns="method", values="forgetting", sort=False).sort_index()
    methods = [str(method) for method in kept["method"].unique()]
    styles = method_styles(methods)
    brought = table.index.get_level_values("learned_at").to_numpy()
    places = np.arange(len(table)) + brought * 0.6  # a gap between the steps
    width = max(6.5, 2.5 + 0.42 * len(table))
    figure = titled(title, width, 3.9)
    axis = figure.subplots()
    thick = 0.84 / len(methods)
    for turn, method in enumerate(methods):
        shift = (turn - (len(methods) - 1) / 2) * thick
        axis.bar(places + shift, table[method], thick, color=styles[method]["color"], label=method)
    axis.set_xticks(places, table.index.get_level_values("name"), rotation=60, ha="right", rotation_mode="anchor")
    axis.tick_params(axis="x", labelsize=8)
    for step in np.unique(brought):
        axis.text(
            places[brought == step][0] - 0.45, 1.01, f"step {step}", fontsize=8, transform=axis.get_xaxis_transform()
        )
    axis.set_xlabel("class, below the step that brought it")
    axis.set_ylabel("best minus last IoU (points)")
    axis.margins(x=0.02)
    axis.grid(axis="y", alpha=0.3)
    axis.set_axisbelow(True)
    figure.legend(title="method", loc="outside right upper", fontsize=8, title_fontsize=8)
    return figure


def trade_off(summary: pd.DataFrame, title: str) -> Figure:
    """Old against new: each method's path through the steps, numbered; the last step large.

    summary: rows of ``summary.csv`` of one scenario; the mean over seeds. Step 0 has nothing new: the dashed line.
    """
    methods = [str(method) for method in summary["method"].unique()]
    styles = method_styles(methods)
    figure = titled(title, 7.2, 4.4)
    axis = figure.subplots()
    before = summary.loc[summary["step"] == 0, "old_nobg"].mean()
    axis.axhline(before, color="0.4", linestyle="--", linewidth=1, label="old, after step 0")
    for method in methods:
        rows = summary[summary["method"] == method]
        path = rows.groupby("step")[["new", "old_nobg"]].mean().dropna()
        if not len(path):
            continue
        colour, marker = styles[method]["color"], styles[method]["marker"]
        axis.plot(path["new"], path["old_nobg"], color=colour, marker=marker, markersize=5, linewidth=1.2, alpha=0.7)
        axis.plot(*path.iloc[-1], color=colour, marker=marker, markersize=11, linestyle="", label=method)
        for step, (new, old) in path.iterrows():
            axis.annotate(str(step), (new, old), (7, 3), textcoords="offset points", fontsize=8, color=colour)
    axis.set_xlabel("mIoU of the classes learnt since step 0 (%)")
    axis.set_ylabel("mIoU of the classes of step 0,\nwithout background (%)")
    axis.set_xlim(-1, max(12, 1.15 * _largest(summary["new"])))
    axis.set_ylim(-3, max(30, 1.15 * _largest(summary["old_nobg"])))
    axis.grid(alpha=0.3)
    figure.legend(title="after the last step", loc="outside right upper", fontsize=8, title_fontsize=8)
    return figure


def _largest(values: Sequence[float] | pd.Series) -> float:
    found = np.asarray(values, float)
    return float(np.nanmax(found)) if np.isfinite(found).any() else 0.0
