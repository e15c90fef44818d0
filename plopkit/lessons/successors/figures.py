"""The methods since PLOP as pictures: what they score, softmax and sigmoid, nets between two nets."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from plopkit.viz.colours import BLUE, EDGE, GREEN, ORANGE, PURPLE, SKY_BLUE, VERMILLION, method_styles
from plopkit.viz.figures import legend_below, titled
from plopkit.viz.style import styled
from plopkit.viz.words import course, each

PLACES = {"loss": SKY_BLUE, "net": PURPLE, "weights": ORANGE, "output": GREEN, "memory": "0.75"}
"""The colour of each place where a method changes something (`Idea.where`)."""
WORDS = {place: f"changes the {place}" for place in PLACES} | {"memory": "keeps a memory"}


@styled
def ladder(table: pd.DataFrame, title: str) -> Figure:
    """A bar per method in the order of publication: `all`, in the colour of what the method changes.

    Args:
        table: `since_plop`.
        title: the figure's title.
    """
    figure = titled(title, 9, 1.5 + 0.3 * len(table))
    axis = figure.subplots()
    for index, row in enumerate(table.itertuples()):
        axis.barh(index, row.all, color=PLACES[str(row.where)], edgecolor=EDGE)
        axis.annotate(f"{row.all:.1f}", (row.all, index), (4, 0), textcoords="offset points", va="center", fontsize=8)
    axis.set_yticks(range(len(table)), [f"{row.method} · {row.year}" for row in table.itertuples()], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlim(0, 85)
    axis.set_xlabel("published mIoU of all classes after the last step (%), background counted")
    axis.grid(axis="x", alpha=0.3)
    axis.set_axisbelow(True)
    used = [place for place in PLACES if place in set(table["where"])]
    handles = [Patch(facecolor=PLACES[place], edgecolor=EDGE, label=WORDS[place]) for place in used]
    legend_below(figure, handles, len(handles))
    scores = {f"{row.method} ({row.where}, {row.year})": f"{row.all:.1f}" for row in table.itertuples()}
    figure.alt = f"{title}: bars of mIoU over all classes in percent; {each(scores)}."
    return figure


@styled
def outputs_compared(logits: Mapping[str, float], new: tuple[str, float], title: str) -> Figure:
    """Probabilities before and after a class is added: by a softmax over all, and by a sigmoid of each.

    Args:
        logits: by class, of one pixel.
        new: the added class and its logit.
        title: the figure's title.
    """
    names = [*logits, new[0]]
    before, after = np.array([*logits.values(), -np.inf]), np.array([*logits.values(), new[1]])
    figure = titled(title, 9, 3.2)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (kind, function) in zip(axes, {"softmax": softmax, "sigmoid": sigmoid}.items(), strict=True):
        places = np.arange(len(names))
        for shift, values, colour in ((-0.2, function(before), SKY_BLUE), (0.2, function(after), VERMILLION)):
            axis.bar(places + shift, values, 0.4, color=colour, edgecolor=EDGE)
            for place, value in zip(places, values, strict=True):
                if value:  # before it is added, a class has no probability
                    axis.text(place + shift, value + 0.015, f"{value:.2f}", ha="center", fontsize=7)
        axis.set_title(kind, fontsize=9)
        axis.set_xticks(places, names, fontsize=8)
        axis.set_ylim(0, 1.1)
    axes[0].set_ylabel("probability")
    handles = [Patch(facecolor=SKY_BLUE, label="before"), Patch(facecolor=VERMILLION, label=f"with {new[0]} added")]
    legend_below(figure, handles, 2)
    soft = softmax(before), softmax(after)
    falls = {name: f"{old:.2f} to {now:.2f}" for name, old, now in zip(logits, *soft, strict=False)}
    figure.alt = (
        f"{title}: the softmax takes probability from each class, {each(falls)}; the sigmoids stay as they are."
    )
    return figure


def softmax(logits: np.ndarray) -> np.ndarray:
    """exp(z) over its sum; (C,) -> (C,)."""
    shifted = np.exp(logits - logits.max())
    return shifted / shifted.sum()


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−z)), of each logit by itself; (C,) -> (C,)."""
    return 1 / (1 + np.exp(-logits))


@styled
def fusion_curves(curves: Sequence[pd.DataFrame], marked: float, title: str) -> Figure:
    """mIoU of the old and of the new classes of nets between two nets; a panel per method.

    Args:
        curves: `fusion_curve`, one of each method.
        marked: the weight at which a vertical line stands.
        title: the figure's title.
    """
    figure = titled(title, 4.2 * len(curves) + 0.6, 3.4)
    axes = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for axis, curve in zip(axes, curves, strict=True):
        for column, colour, marker in (("old_nobg", BLUE, "o"), ("new", ORANGE, "D")):
            axis.plot(curve["weight"], curve[column], marker=marker, color=colour, linewidth=2)
        axis.axvline(marked, color="0.4", linestyle="--")
        axis.set_title(str(curve["method"].iloc[0]), fontsize=9)
        axis.set_xlabel("weight of the net after the step")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("mIoU (%)")
    axes[0].set_ylim(-2, 102)
    handles = [
        Line2D([], [], color=BLUE, marker="o", label="classes of step 0, without background"),
        Line2D([], [], color=ORANGE, marker="D", label="classes learnt since"),
        Line2D([], [], color="0.4", linestyle="--", label=f"EWF's weight, {marked:.2f}"),
    ]
    legend_below(figure, handles, 3)
    said = {
        str(curve["method"].iloc[0]): f"old {course(curve['old_nobg'])}, new {course(curve['new'])}" for curve in curves
    }
    figure.alt = f"{title}: mIoU in percent as the weight of the new net goes from 0 to 1; {each(said)}."
    return figure


@styled
def published_and_measured(both: pd.DataFrame, title: str, axes_names: tuple[str, str]) -> Figure:
    """A dot per method: its published result to the right, a measured one upwards.

    Args:
        both: `both_scores`.
        title: the figure's title.
        axes_names: what was published, and what was measured.
    """
    figure = titled(title, 6.5, 4.6)
    axis = figure.subplots()
    styles = method_styles(list(both["method"]))
    for row in both.itertuples():
        style = styles[str(row.method)]
        axis.plot(row.published, row.measured, marker=style["marker"], color=style["color"], markersize=8)
        point = (float(row.published), float(row.measured))
        others = both[both["method"] != row.method]
        neighbours = others["published"].between(point[0], point[0] + 12) & others["measured"].sub(point[1]).abs().lt(2)
        side, place = ("right", (-7, -3)) if neighbours.any() else ("left", (7, -3))
        axis.annotate(str(row.method), point, place, textcoords="offset points", fontsize=8, ha=side)
    axis.set_xlabel(f"{axes_names[0]}: mIoU, all classes (%)")
    axis.set_ylabel(f"{axes_names[1]}: mIoU, all classes (%)")
    axis.margins(0.15)
    axis.grid(alpha=0.3)
    said = {str(row.method): f"{row.published:.1f} and {row.measured:.1f}" for row in both.itertuples()}
    figure.alt = f"{title}: a dot per method, mIoU as published and as measured in percent; {each(said)}."
    return figure
