"""Loss terms and their gradients: a bar per term, a heat map of terms by parts of the net, one method's bars.

A table here has a row per (method, term), or another first name; a column ``value``, and a column of gradient norms for
each part.
"""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from plopkit.support.errors import unknown_name
from plopkit.viz.colours import TERMS, method_styles
from plopkit.viz.figures import Plain, pinned, titled

DECADES = 6  # below the largest: smaller gradients have one colour
SILENT = "#e6e6e6"


def term_bars(table: pd.DataFrame, title: str) -> Figure:
    """Each term's value on a logarithmic axis, as the loop adds it up; a method's colour is that of the curves."""
    figure = titled(title, 9, 0.27 * len(table) + 1.3)
    axis = figure.subplots()
    styles = method_styles(list(dict.fromkeys(_first(table))))
    places, values = np.arange(len(table)), table["value"].to_numpy(float)
    bars = axis.barh(places, values, color=[styles[method]["color"] for method in _first(table)], height=0.75)
    axis.bar_label(bars, [_number(value) for value in values], padding=3, fontsize=8)
    _rows(axis, table, "0.4")
    positive = values[values > 0]
    axis.set(xscale="log", xlabel="value of the term (no unit, its weight included)")
    if len(positive):
        axis.set_xlim(positive.min() / 2, positive.max() * 4)
    axis.grid(axis="x", alpha=0.3)
    return figure


def gradient_map(table: pd.DataFrame, title: str) -> Figure:
    """Terms by parts of the net: the L2 norm of the gradient, coloured in powers of ten and written in the cell.

    Grey cells: no gradient at all. ValueError where no term sends any.
    """
    norms = table.drop(columns="value").to_numpy(float)
    largest = norms.max(initial=0.0)
    if largest <= 0:
        raise ValueError("no term of the table sends any gradient; there is nothing to colour")
    figure = titled(title, 9, 0.3 * len(table) + 1.5)
    axis = figure.subplots()
    axis.set_facecolor(SILENT)
    norm = LogNorm(largest / 10**DECADES, largest, clip=True)
    image = axis.imshow(np.ma.masked_equal(norms, 0), cmap="viridis", norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(norms):
        dark = value > 0 and norm(value) < 0.6
        axis.text(column, row, _number(value), ha="center", va="center", fontsize=8, color="w" if dark else "k")
    _rows(axis, table, "w")
    axis.set_xticks(range(norms.shape[1]), _broken(table.drop(columns="value")), fontsize=9)
    axis.set_xlabel("part of the net")
    bar = figure.colorbar(image, ax=axis, pad=0.02, extend="min")
    bar.set_label("L2 norm of the gradient")
    return figure


def method_bars(table: pd.DataFrame, method: str) -> Figure:
    """The gradients of one method's terms on each part. The axis is the same for all methods, so they compare.

    ValueError for a method that the table has not.
    """
    norms = table.drop(columns="value")
    positive = norms.to_numpy(float)[norms.to_numpy(float) > 0]
    if method not in set(_first(table)):
        raise unknown_name("method", method, dict.fromkeys(_first(table)))
    rows = norms.loc[method]
    figure = Plain(figsize=(9, 3.2))
    figure.subplots_adjust(0.1, 0.22, 0.87, 0.9)
    axis = figure.subplots()
    width = 0.8 / len(rows)
    for place, ((term, row), colour) in enumerate(zip(rows.iterrows(), cycle(TERMS))):
        at = np.arange(len(row)) + (place - (len(rows) - 1) / 2) * width
        bars = axis.bar(at, row.to_numpy(float), width * 0.92, color=colour, label=str(term))
        axis.bar_label(bars, [_number(value) for value in row], fontsize=7, padding=1)
    axis.set_title(f"{method}: gradients of its terms", y=1.01)
    axis.set(ylabel="L2 norm of the gradient", yscale="log")
    pinned(axis, 0.19, 0.085)
    axis.set_xticks(range(norms.shape[1]), _broken(norms), fontsize=9)
    axis.set_xlabel("part of the net")
    if len(positive):
        low, high = max(positive.min(), positive.max() / 10**DECADES) / 2, positive.max() * 3
        powers = [10.0**power for power in range(-12, 13) if low <= 10.0**power <= high]
        axis.set_yticks(powers, [f"{power:g}" for power in powers])  # plain words: mathtext takes a third of the time
        axis.set_ylim(low, high)
    axis.minorticks_off()
    axis.grid(axis="y", alpha=0.3)
    figure.legend(title="term", loc="center left", bbox_to_anchor=(0.875, 0.55), fontsize=9, title_fontsize=9)
    return figure


def _first(table: pd.DataFrame) -> list[str]:
    return [str(method) for method, _ in table.index]


def _rows(axis: Axes, table: pd.DataFrame, line: str) -> None:
    """Terms down the side, a line between methods, the first on top."""
    methods = _first(table)
    axis.set_yticks(range(len(table)), [f"{method} · {term}" for method, term in table.index], fontsize=9)
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_ylabel(" · ".join(map(str, table.index.names)))
    for row in range(1, len(table)):
        if methods[row] != methods[row - 1]:
            axis.axhline(row - 0.5, color=line, linewidth=1)


def _broken(norms: pd.DataFrame) -> list[str]:
    """The parts' names in two lines where they are long."""
    return [str(name).replace(" classifier", "\nclassifier") for name in norms.columns]


def _number(value: float) -> str:
    """Three digits; very small and very large ones in powers of ten."""
    if value == 0:
        return "0"
    if 0.001 <= value < 100_000:
        return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
