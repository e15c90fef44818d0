"""The papers' tables as pictures: methods side by side, the two conventions, the spread over seeds."""

import re

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from plopkit.lessons.published.measures import OWN
from plopkit.viz.colours import NEUTRAL, method_styles
from plopkit.viz.figures import legend_below, titled
from plopkit.viz.style import styled
from plopkit.viz.words import each

HATCH = "////"
GROUPS = {"old_nobg": "old, without background", "new": "new", "all": "all, with background"}


@styled
def published_bars(table: pd.DataFrame, title: str) -> Figure:
    """Published and own results, a panel per scenario, sorted by ``all``.

    The bar is ``all``, hatched where the background is not counted; a dot is ``old``, a diamond ``new``. Own rows have
    a thick edge.

    Args:
        table: rows in the layout of the papers' tables, from ``published_and_own``.
        title: the figure's title.
    """
    panels = [(str(name), rows.sort_values("all")) for name, rows in table.groupby("scenario", sort=False)]
    tallest = max(len(rows) for _, rows in panels)
    width = 11.0 if len(panels) > 1 else 7.5
    figure = titled(title, width, 1.7 + 0.27 * tallest)
    styles = method_styles(list(dict.fromkeys(table["method"].astype(str))))
    for axis, (scenario, rows) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        for index, row in enumerate(rows.itertuples()):
            own = row.source == OWN
            axis.barh(
                index,
                row.all,
                color=styles[str(row.method)]["color"],
                alpha=0.75,
                hatch="" if row.background_counted == "yes" else HATCH,
                edgecolor="black" if own else "white",
                linewidth=1.8 if own else 0.5,
            )
        axis.plot(rows["old"], np.arange(len(rows)), "o", color="black", markerfacecolor="white", markersize=5)
        axis.plot(rows["new"], np.arange(len(rows)), "D", color="black", markersize=4)
        names = [f"{row.method} · {_source_label(row.source, row.background_counted)}" for row in rows.itertuples()]
        axis.set_yticks(range(len(rows)), names, fontsize=8)
        axis.set_title(scenario, fontsize=9)
        axis.set_xlabel("mIoU after the last step (%)")
        axis.set_xlim(0, 100)
        axis.margins(y=0.01)
        axis.grid(axis="x", alpha=0.3)
        axis.set_axisbelow(True)
    handles = [
        Patch(facecolor=NEUTRAL, edgecolor="white", label="all, background counted"),
        Patch(facecolor=NEUTRAL, edgecolor="white", hatch=HATCH, label="all, background not counted"),
        Line2D([], [], marker="o", color="black", markerfacecolor="white", linestyle="", label="old"),
        Line2D([], [], marker="D", color="black", linestyle="", markersize=4, label="new"),
    ]
    if (table["source"] == OWN).any():
        handles.append(Patch(facecolor="0.8", edgecolor="black", linewidth=1.8, label=OWN))
    legend_below(figure, handles, len(handles))
    figure.alt = (
        f"{title}: bars of mIoU of all classes in percent. {'; '.join(_ends(name, rows) for name, rows in panels)}."
    )
    return figure


def _ends(scenario: str, rows: pd.DataFrame) -> str:
    """The lowest and the highest of the sorted rows of a scenario."""
    low, high = rows.iloc[0], rows.iloc[-1]
    return f"{scenario}: {len(rows)} results, {low['method']} {low['all']:.1f} to {high['method']} {high['all']:.1f}"


def _source_label(source: str, background_counted: str) -> str:
    """A bar's source; own runs appear in both conventions, so their label says which."""
    return f"own, {'with' if background_counted == 'yes' else 'no'} bg" if source == OWN else short_source(source)


def short_source(source: str) -> str:
    """A source's name without year, table and commit."""
    return re.split(
        r" \(|, | segmentation| history| repository", source.replace("PLOP first author's thesis", "thesis")
    )[0]


@styled
def convention_gaps(table: pd.DataFrame, title: str) -> Figure:
    """``old`` and ``all`` of the same runs in both conventions: filled with the background, hollow without.

    Args:
        table: rows of ``both_conventions``, of one scenario.
        title: the figure's title.
    """
    figure = titled(title, 9, 1.6 + 0.4 * table["method"].nunique())
    methods = list(dict.fromkeys(table["method"].astype(str)))
    styles = method_styles(methods)
    with_background, without = (
        table[table["background_counted"] == counted].set_index("method").reindex(methods) for counted in ("yes", "no")
    )
    axes = figure.subplots(1, 2, sharey=True)
    for axis, column in zip(axes, ("old", "all"), strict=True):
        for y, method in enumerate(methods):
            colour, (hollow, filled) = (
                styles[method]["color"],
                (without[column].iloc[y], with_background[column].iloc[y]),
            )
            axis.plot([hollow, filled], [y, y], color=colour, linewidth=2)
            axis.plot(hollow, y, "o", color=colour, markerfacecolor="white", markersize=8, markeredgewidth=2)
            axis.plot(filled, y, "o", color=colour, markersize=8)
            axis.annotate(
                f"{filled - hollow:+.1f}",
                (max(hollow, filled), y),
                (9, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
            )
        axis.set_title(column, fontsize=9)
        axis.set_xlabel("mIoU after the last step (%)")
        axis.set_xlim(-4, 100)
        axis.set_ylim(len(methods) - 0.4, -0.6)
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(methods)), methods)
    axes[0].set_ylabel("method")
    marks = [("0.3", "background counted"), ("white", "not counted")]
    handles = [
        Line2D([], [], marker="o", color="0.3", markerfacecolor=face, linestyle="", markersize=8, label=label)
        for face, label in marks
    ]
    legend_below(figure, handles, 2)
    pairs = zip(methods, with_background["all"], without["all"], strict=True)
    said = {method: f"{counted:.1f} and {not_counted:.1f}" for method, counted, not_counted in pairs}
    figure.alt = f"{title}: mIoU of all classes in percent, with background and without. {each(said)}."
    return figure


@styled
def seed_spread(last: pd.DataFrame, title: str) -> Figure:
    """mIoU after the last step: every seed as a point, the mean as a horizontal and the range as a vertical line.

    Args:
        last: rows of ``last_steps``, of one scenario and several seeds.
        title: the figure's title.
    """
    methods = list(dict.fromkeys(last["method"].astype(str)))
    styles = method_styles(methods)
    width = max(8.0, 3.5 + 0.6 * len(methods) * len(GROUPS) / 2)
    figure = titled(title, width, 3.6)
    axes = figure.subplots(1, len(GROUPS), sharey=True)
    for axis, (column, name) in zip(axes, GROUPS.items(), strict=True):
        for x, method in enumerate(methods):
            values = last.loc[last["method"] == method, column].dropna().to_numpy()
            if not len(values):
                continue
            colour, marker = styles[method]["color"], styles[method]["marker"]
            xs = x + np.linspace(-0.18, 0.18, len(values)) * (len(values) > 1)
            axis.vlines(x, values.min(), values.max(), color=colour, linewidth=2, alpha=0.5)
            axis.hlines(values.mean(), x - 0.3, x + 0.3, color=colour, linewidth=2)
            axis.plot(xs, values, marker=marker, color=colour, markeredgecolor="black", markersize=5, linestyle="")
        axis.set_title(name, fontsize=9)
        axis.set_xticks(range(len(methods)), methods)
        axis.set_xlim(-0.6, len(methods) - 0.4)
        axis.set_xlabel("method")
        axis.grid(axis="y", alpha=0.3)
    axes[0].set_ylabel("mIoU after the last step (%)")
    handles = [
        Line2D([], [], marker="o", color="0.4", markeredgecolor="black", linestyle="", label="one seed"),
        Line2D([], [], marker="_", color="0.4", markersize=14, markeredgewidth=2, linestyle="", label="mean"),
        Line2D([], [], marker="|", color="0.4", markersize=14, markeredgewidth=2, linestyle="", label="range"),
    ]
    legend_below(figure, handles, 3)
    scores = {method: last.loc[last["method"] == method, "all"] for method in methods}
    said = {
        method: f"{values.mean():.1f} ({values.min():.1f} to {values.max():.1f})" for method, values in scores.items()
    }
    figure.alt = (
        f"{title}: mIoU of all classes after the last step in percent, mean and range over seeds. {each(said)}."
    )
    return figure
