"""How sure a teacher is, class by class, and what thresholds make of it."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
from jaxtyping import Float, Integer
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from plopkit.lessons.pseudo.measures import Precision
from plopkit.viz.colours import NEUTRAL, PIXELS, legend_colour
from plopkit.viz.figures import legend_below, titled
from plopkit.viz.style import styled
from plopkit.viz.words import each

BINS = 60
MOST_CLASSES = 20
GROUPS = {"all": "all pixels", "objects": "pixels that the teacher assigns to an old class"}
MARKERS = "D^sov"


@styled
def uncertainty_histograms(
    predicted: Integer[Any, " N"],
    measures: Mapping[str, tuple[Float[Any, " N"], Float[Any, " n_seen"]]],
    labels: Sequence[int],
    names: Sequence[str],
    title: str,
) -> Figure:
    """A histogram of the uncertainty of N background pixels for each class that the teacher predicts.

    The twenty classes with the most pixels are shown, all histograms at the same height. A threshold above all pixels,
    even an infinite one, is drawn at the right border.

    Args:
        predicted: the channel of each pixel.
        measures: a panel each, by name: the values of the pixels, and the thresholds by channel.
        labels: the label of each channel.
        names: class names, indexed by label.
        title: title of the figure.
    """
    predicted = np.asarray(predicted)
    counts = np.bincount(predicted, minlength=len(labels))
    chosen = sorted(np.argsort(-counts, kind="stable")[: min(MOST_CLASSES, int((counts > 0).sum()))].tolist())
    figure = titled(title, 9, 0.27 * len(chosen) + 1.7)
    axes = figure.subplots(1, len(measures), sharey=True, squeeze=False)[0]
    for axis, (name, (values, thresholds)) in zip(axes, measures.items(), strict=True):
        _draw_histograms(axis, predicted, np.asarray(values), np.asarray(thresholds), chosen, labels)
        axis.set_xlabel(name, fontsize=9)
        axis.xaxis.set_major_locator(MaxNLocator(5))
        axis.grid(axis="x", alpha=0.3)
    axes[0].set_yticks(range(len(chosen)), [names[labels[channel]] for channel in chosen], fontsize=8)
    axes[0].set_ylim(len(chosen) - 0.4, -1.1)
    axes[0].set_ylabel("class that the teacher predicts")
    handles = [
        Line2D([], [], color="black", linewidth=2.5, label="threshold: pixels left of it are confident"),
        Line2D([], [], color="black", linestyle=":", linewidth=1.5, label="true median of these pixels"),
        Patch(facecolor=NEUTRAL, label="share of the class's pixels"),
    ]
    legend_below(figure, handles, 3)
    shares = {
        name: f"{np.mean(np.asarray(values) < np.asarray(thresholds)[predicted]):.0%}"
        for name, (values, thresholds) in measures.items()
    }
    figure.alt = (
        f"{title}: histograms of {len(predicted):,} pixels by {len(chosen)} classes. "
        f"Below their threshold: {each(shares)}."
    )
    return figure


def _draw_histograms(
    axis: Axes,
    predicted: np.ndarray,
    values: np.ndarray,
    thresholds: np.ndarray,
    chosen: Sequence[int],
    labels: Sequence[int],
) -> None:
    limits = thresholds[list(chosen)]
    edges = np.linspace(0, 1.001 * max(values.max(), limits[np.isfinite(limits)].max(initial=0.0)), BINS + 1)
    for row, channel in enumerate(chosen):
        of_class = values[predicted == channel]
        counts = np.histogram(of_class, edges)[0]
        heights = row - 0.85 * counts / counts.max()
        axis.stairs(heights, edges, baseline=row, fill=True, color=legend_colour(labels[channel]))
        axis.plot([min(thresholds[channel], edges[-1])] * 2, [row, row - 0.95], color="black", linewidth=2.5)
        axis.plot([np.median(of_class)] * 2, [row, row - 0.95], color="black", linestyle=":", linewidth=1.5)
    axis.set_xlim(edges[0], edges[-1])


@styled
def precision_curves(
    curve: Mapping[str, Precision], points: Mapping[str, Mapping[str, Precision]], title: str
) -> Figure:
    """The shares of pixels that get a label, and of labels that are right.

    Left: against a single threshold for all classes. Right: one share against the other, where class-wise thresholds
    have their place, too.

    Args:
        curve: curve of the single threshold, from `precision_curve`.
        points: points of class-wise thresholds by name, from `precision_at`.
        title: title of the figure.
    """
    figure = titled(title, 9, 3.8)
    left, right = figure.subplots(1, 2)
    handles = []
    for group, words in GROUPS.items():
        colour = PIXELS[group]
        labelled, correct = 100 * np.asarray(curve[group].share), 100 * np.asarray(curve[group].right)
        left.plot(curve[group].thresholds, labelled, color=colour, linestyle="--")
        left.plot(curve[group].thresholds, correct, color=colour)
        right.plot(labelled, correct, color=colour)
        for point, marker in zip(points.values(), cycle(MARKERS)):
            x, y = 100 * point[group].share, 100 * point[group].right
            right.plot(x, y, marker, color=colour, markersize=7, mec="black")
        handles.append(Line2D([], [], color=colour, label=f"{words}: right labels"))
        handles.append(Line2D([], [], color=colour, linestyle="--", label=f"{words}: labelled"))
    left.set(xlabel="threshold for all classes (uncertainty)", ylabel="share (%)", xlim=(0, 1), ylim=(0, 103))
    heights = np.concatenate([np.asarray(line.get_ydata(), float) for line in right.get_lines()])
    lowest = min(heights[np.isfinite(heights)], default=100.0)
    right.set(xlabel="labelled (%)", ylabel="right (%)", xlim=(0, 103), ylim=(max(0, 10 * (lowest // 10) - 5), 101))
    left.set_title("by threshold", fontsize=9)
    right.set_title("right labels against labelled pixels", fontsize=9)
    for axis in (left, right):
        axis.grid(alpha=0.3)
    for name, marker in zip(points, cycle(MARKERS)):
        handles.append(Line2D([], [], linestyle="", marker=marker, color="0.8", mec="black", label=name))
    legend_below(figure, handles, 2)
    said = {
        name: f"{float(point['objects'].share):.0%} labelled, {float(point['objects'].right):.0%} of these right"
        for name, point in points.items()
    }
    figure.alt = f"{title}: curves of labelled and right pixels. Of the pixels called an old class: {each(said)}."
    return figure
