"""Loss terms and their gradients: a bar per term, a heat map of terms by parts of the net, one method's bars.

The tables are those of ``attribution``: a row per (method, term), a column ``value``, and a column of gradient norms
for each part of the net.
"""

from itertools import cycle

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from plopkit.support.errors import unknown_name
from plopkit.viz.colours import HEAT, NO_GRADIENT, TERMS, method_styles
from plopkit.viz.figures import Plain, pinned, titled
from plopkit.viz.style import styled
from plopkit.viz.words import each

DECADES = 6  # powers of ten with their own colour; all smaller gradients share one


@styled
def term_bars(table: pd.DataFrame, title: str) -> Figure:
    """Each term's weighted value on a logarithmic axis, in the method's colour."""
    figure = titled(title, 9, 0.27 * len(table) + 1.3)
    axis = figure.subplots()
    styles = method_styles(list(dict.fromkeys(_methods(table))))
    values = table["value"].to_numpy(float)
    bars = axis.barh(
        np.arange(len(table)), values, color=[styles[method]["color"] for method in _methods(table)], height=0.75
    )
    axis.bar_label(bars, [_number(value) for value in values], padding=3, fontsize=8)
    _label_rows(axis, table, "0.4")
    positive = values[values > 0]
    axis.set(xscale="log", xlabel="value of the term (no unit, its weight included)")
    if len(positive):
        axis.set_xlim(positive.min() / 2, positive.max() * 4)
    axis.grid(axis="x", alpha=0.3)
    said = {f"{method} {term}": _number(value) for (method, term), value in table["value"].items()}
    figure.alt = f"{title}: bars of the terms' values on a logarithmic axis. {each(said)}."
    return figure


@styled
def gradient_map(table: pd.DataFrame, title: str) -> Figure:
    """The L2 norm of every term's gradient on every part of the net, as a heat map with numbers.

    Colours are logarithmic. Grey cells have no gradient at all.

    Raises:
        ValueError: no term of the table has a gradient.
    """
    norms = table.drop(columns="value").to_numpy(float)
    largest = norms.max(initial=0.0)
    if largest <= 0:
        raise ValueError("no term of the table has a gradient, so there is nothing to show")
    figure = titled(title, 9, 0.3 * len(table) + 1.5)
    axis = figure.subplots()
    axis.set_facecolor(NO_GRADIENT)
    norm = LogNorm(largest / 10**DECADES, largest, clip=True)
    image = axis.imshow(np.ma.masked_equal(norms, 0), cmap=HEAT, norm=norm, aspect="auto")
    for (row, column), value in np.ndenumerate(norms):
        dark = value > 0 and norm(value) < 0.6
        axis.text(column, row, _number(value), ha="center", va="center", fontsize=8, color="w" if dark else "k")
    _label_rows(axis, table, "w")
    axis.set_xticks(range(norms.shape[1]), _wrapped(table.drop(columns="value")), fontsize=9)
    axis.set_xlabel("part of the net")
    bar = figure.colorbar(image, ax=axis, pad=0.02, extend="min")
    bar.set_label("L2 norm of the gradient")
    figure.alt = f"{title}: a heat map of gradient norms. Largest per term: {each(_largest(table))}."
    return figure


@styled
def method_bars(table: pd.DataFrame, method: str) -> Figure:
    """The gradients of one method's terms on each part. All methods have the same axis, so that figures compare.

    Raises:
        ValueError: the method is not in the table.
    """
    norms = table.drop(columns="value")
    positive = norms.to_numpy(float)[norms.to_numpy(float) > 0]
    if method not in set(_methods(table)):
        raise unknown_name("method", method, dict.fromkeys(_methods(table)))
    rows = norms.loc[method]
    figure = Plain(figsize=(9, 3.2))
    figure.subplots_adjust(0.1, 0.22, 0.87, 0.9)
    axis = figure.subplots()
    width = 0.8 / len(rows)
    for index, ((term, row), colour) in enumerate(zip(rows.iterrows(), cycle(TERMS))):
        x = np.arange(len(row)) + (index - (len(rows) - 1) / 2) * width
        bars = axis.bar(x, row.to_numpy(float), width * 0.92, color=colour, label=str(term))
        axis.bar_label(bars, [_number(value) for value in row], fontsize=7, padding=1)
    axis.set_title(f"{method}: gradients of its terms", y=1.01)
    axis.set(ylabel="L2 norm of the gradient", yscale="log")
    pinned(axis, 0.19, 0.085)
    axis.set_xticks(range(norms.shape[1]), _wrapped(norms), fontsize=9)
    axis.set_xlabel("part of the net")
    if len(positive):
        low, high = max(positive.min(), positive.max() / 10**DECADES) / 2, positive.max() * 3
        powers = [10.0**power for power in range(-12, 13) if low <= 10.0**power <= high]
        axis.set_yticks(powers, [f"{power:g}" for power in powers])  # text: mathtext takes a third of the time
        axis.set_ylim(low, high)
    axis.minorticks_off()
    axis.grid(axis="y", alpha=0.3)
    figure.legend(title="term", loc="center left", bbox_to_anchor=(0.875, 0.55), fontsize=9, title_fontsize=9)
    figure.alt = f"{method}: bars of the gradients of its terms. Largest: {each(_largest(table.loc[[method]]))}."
    return figure


def _largest(table: pd.DataFrame) -> dict[str, str]:
    """For each term, on which part of the net its gradient is largest."""
    norms = table.drop(columns="value")
    parts = zip(norms.index, norms.idxmax(axis=1), norms.max(axis=1), strict=True)
    return {f"{method} {term}": f"{_number(norm)} on {part}" for (method, term), part, norm in parts}


def _methods(table: pd.DataFrame) -> list[str]:
    return [str(method) for method, _ in table.index]


def _label_rows(axis: Axes, table: pd.DataFrame, line: str) -> None:
    """Label each row with its term, the first on top, with a line of this colour between methods."""
    methods = _methods(table)
    axis.set_yticks(range(len(table)), [f"{method} · {term}" for method, term in table.index], fontsize=9)
    axis.set_ylim(len(table) - 0.5, -0.5)
    axis.set_ylabel(" · ".join(map(str, table.index.names)))
    for row in range(1, len(table)):
        if methods[row] != methods[row - 1]:
            axis.axhline(row - 0.5, color=line, linewidth=1)


def _wrapped(norms: pd.DataFrame) -> list[str]:
    """The parts' names, long ones on two lines."""
    return [str(name).replace(" classifier", "\nclassifier") for name in norms.columns]


def _number(value: float) -> str:
    """A number with three digits; very small and very large ones with an exponent."""
    if value == 0:
        return "0"
    if 0.001 <= value < 100_000:
        return f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
