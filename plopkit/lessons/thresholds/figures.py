"""Thresholds of PLOP's pseudo-labels: how the released code finds them, and which pixels they accept."""

import math
from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Integer, UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from plopkit.lessons.thresholds.measures import FINE_BINS, Histograms, threshold_of_share
from plopkit.thresholds import RELEASED_BINS, RELEASED_FLOOR, ReleasedMedian, released_median
from plopkit.viz.colours import EDGE, IGNORED, NO_LIMIT, REACH, SERIES, THRESHOLDS
from plopkit.viz.figures import Plain, bare, legend_below, pinned, titled
from plopkit.viz.legends import class_patches
from plopkit.viz.masks import overlay
from plopkit.viz.style import styled
from plopkit.viz.words import contents, each

RELEASED, MEDIAN = THRESHOLDS["released"][0], THRESHOLDS["median"][0]
UNCERTAINTY = "uncertainty H / ln C of the teacher, 0 to 1"


class SearchView:
    """The released search for one class's threshold: a figure that is updated in place, to follow a slider.

    Args:
        scale: ``Histograms.scale`` of the histograms to be shown.
    """

    @styled
    def __init__(self, scale: float):
        self._scale = scale
        self.figure = Plain(figsize=(10.5, 3.9))
        self.figure.subplots_adjust(left=0.075, right=0.985, bottom=0.14, top=0.82, wspace=0.2)
        self._title = self.figure.suptitle("", fontsize=11)
        self._left, self._right = self.figure.subplots(1, 2)
        for axis in (self._left, self._right):
            axis.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
            axis.yaxis.set_major_locator(MaxNLocator(5))
            axis.tick_params(labelsize=8)
            pinned(axis, 0.105, 0.155)
        self._left.set_title("", fontsize=10, y=1.01)
        self._init_search(math.floor(RELEASED_BINS / scale) + 2)
        self._init_thresholds(scale)

    def _init_search(self, bins: int) -> None:
        """Left: two bars per bin, each from a running total up by the bin's count."""
        axis, index, nothing = self._left, np.arange(bins), np.zeros(bins)
        self._code = axis.bar(index - 0.2, nothing, 0.38, color=RELEASED, label="the code's running total + count")
        self._true = axis.bar(index + 0.2, nothing, 0.38, color=MEDIAN, label="true running total + count")
        self._half = axis.axhline(0, color="black", linewidth=1.2, label="half of the pixels")
        star: dict[str, Any] = {"marker": "*", "markersize": 14, "markeredgecolor": "black", "linestyle": "none"}
        (self._star,) = axis.plot([], [], color=RELEASED, **star)
        axis.set(xticks=index, xlim=(-0.6, bins - 0.4), xlabel="bin (of 100)", ylabel="pixels")
        axis.legend(fontsize=8, loc="upper right")

    def _init_thresholds(self, scale: float) -> None:
        """Right: the same pixels by H / ln C, the code's bins as stripes, and both thresholds."""
        axis, bin_width = self._right, scale / RELEASED_BINS
        self._pixels = axis.stairs(np.zeros(FINE_BINS), np.linspace(0, 1, FINE_BINS + 1), fill=True, color="0.55")
        for index, start in enumerate(np.arange(0, 1, bin_width)):
            end = min(1, start + bin_width)
            axis.axvspan(start, end, color=("0.93", "0.98")[index % 2], zorder=-1)
            if end - start > 0.05:
                above: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "ha": "center", "va": "bottom"}
                axis.text((start + end) / 2, 1, f"bin {index}", fontsize=8, **above)
        self._threshold = axis.axvline(0, color=RELEASED, linewidth=2.5, label="the code's threshold")
        self._median = axis.axvline(0, color=MEDIAN, linewidth=2.5, linestyle="--", label="true median")
        axis.set(xlim=(0, 1), xlabel=UNCERTAINTY, ylabel="pixels")
        self._legend = axis.legend(fontsize=8, loc="upper right").get_texts()

    def show(self, histograms: Histograms, channel: int, name: str) -> Figure:
        """Update the figure to one channel of the teacher; ``name`` is that of its class.

        Raises:
            ValueError: the histograms have another scale.
        """
        if histograms.scale != self._scale:
            raise ValueError(f"the figure was made for scale {self._scale:g}, the histograms have {histograms.scale:g}")
        counts = histograms.released[channel]
        search = released_median(counts[None])
        self._title.set_text(f"{name}: {int(counts.sum()):,} background pixels that the teacher predicts as this class")
        self._show_search(search, counts.numpy())
        self._show_thresholds(histograms, channel, float(search.values[0]))
        ends = ", ".join(text.get_text() for text in self._legend)
        self.figure.alt = f"{self._title.get_text()}: {self._left.get_title()}; {ends}."
        return self.figure

    def _show_search(self, search: ReleasedMedian, counts: np.ndarray) -> None:
        half, end = float(search.half[0]), int(search.bin[0])
        before = counts.cumsum() - counts
        for bars, lower, height in ((self._code, search.total_before, search.counts[0]), (self._true, before, counts)):
            for bar, y, tall in zip(bars, lower.tolist(), height.tolist(), strict=False):  # further bins are empty
                bar.set(y=y, height=tall)
        self._half.set_ydata([half, half])
        reached = bool(search.found[0]) and end < len(self._code) and half > 0
        self._star.set_data(([end - 0.2], [half]) if reached else ([], []))
        outcome = f"the code stops in bin {end}" if search.found[0] else "the code finds no bin and ends in bin 99"
        self._left.title.set_text(outcome if half else "no pixels: the code returns 0")
        self._left.set_ylim(0, max(1.0, 3 * half))

    def _show_thresholds(self, histograms: Histograms, channel: int, value: float) -> None:
        fine = histograms.fine[channel].numpy()
        self._pixels.set_data(fine)
        threshold, median = max(value, RELEASED_FLOOR) * histograms.scale, float(histograms.medians[channel])
        number = f"{threshold:.2f}" if threshold <= 1 else "above all pixels"
        if math.isnan(value):
            threshold, number = 0.0, "not a number, no pixel is confident"
        self._threshold.set_xdata([min(threshold, 1.0)] * 2)
        self._median.set_xdata([median] * 2)
        labels = (f"the code's threshold: {number}", f"true median: {median:.2f}")
        for text, label in zip(self._legend, labels, strict=True):
            text.set_text(label)
        self._right.set_ylim(0, max(1.0, 1.35 * float(fine.max())))  # the legend is above the bars


def threshold_search(histograms: Histograms, channel: int, name: str) -> Figure:
    """How the released code searches for one class's median, and its threshold next to the true median.

    Args:
        histograms: result of ``teacher_histograms``.
        channel: the teacher's channel.
        name: name of the channel's class.
    """
    return SearchView(histograms.scale).show(histograms, channel, name)


@styled
def threshold_by_share(histograms: Mapping[str, Histograms], title: str) -> Figure:
    """The released threshold over the share of a class's pixels in bin 0: the formula, and a marker per class.

    Args:
        histograms: result of ``teacher_histograms``, by the name in the legend.
        title: the figure's title.
    """
    figure = titled(title, 8.5, 4)
    axis = figure.subplots()
    scale = next(iter(histograms.values())).scale
    said = {}
    for share in (np.linspace(0, 0.4999, 200), np.linspace(0.5, 1, 200)):
        threshold = threshold_of_share(torch.from_numpy(share)) * scale
        axis.plot(share, threshold, color="black", linewidth=1, label=None if share[0] else "the formula, two bins")
    for place, ((name, series), (colour, marker)) in enumerate(zip(histograms.items(), cycle(SERIES))):
        pixels = series.released.sum(1)
        present = pixels > 0
        thresholds = released_median(series.released).values[present] * series.scale
        shares = (series.released[:, 0] / pixels)[present]
        style: dict[str, Any] = {"color": colour, "markersize": 7, "alpha": 0.8, "markeredgecolor": "white"}
        style["zorder"] = 3 - place / len(histograms)  # the first is the teacher as it is: not behind the others
        axis.plot(shares, thresholds, marker, label=name, **style)
        said[name] = f"{int((thresholds > 1).sum())} of {len(thresholds)} classes"
    axis.axhline(1, color=NO_LIMIT, linewidth=1, linestyle=":")
    axis.text(0.01, 1.02, "above this line every pixel is confident", fontsize=8, color="0.35")
    top = max(1.0, 0.02 * scale)  # the end of bin 1
    axis.set(xlabel="share of the class's pixels in bin 0", xlim=(-0.02, 1.02), ylim=(0, 1.15 * top))
    axis.set_ylabel("the code's threshold, as H / ln C")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper right")
    figure.alt = f"{title}: the released threshold by the share of pixels in bin 0. Above all pixels: {each(said)}."
    return figure


@styled
def range_bars(table: pd.DataFrame, title: str) -> Figure:
    """The share of the whole range of uncertainty below each border.

    Args:
        table: rows of ``released_range``.
        title: the figure's title.
    """
    borders = {
        "floor": f"below the floor, {RELEASED_FLOOR:g}",
        "half bin": f"below {0.5 / RELEASED_BINS:g}",
        "bin 0": f"in bin 0, below {1 / RELEASED_BINS:g}",
    }
    figure = titled(title, 9, 0.34 * len(table) + 1.5)
    axis = figure.subplots()
    rows = np.arange(len(table))
    axis.barh(rows, np.ones(len(table)), 0.75, color=REACH["above"], label="above")
    for name, label in reversed(borders.items()):
        axis.barh(rows, table[name], 0.75, color=REACH[name], label=label)
    axis.set_yticks(rows, [f"{scenario}, step {step}" for scenario, step in table.index], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel=UNCERTAINTY)
    legend_below(figure, axis.get_legend_handles_labels()[0][::-1], 4)
    said = {f"{scenario}, step {step}:": f"{100 * share:.0f} %" for (scenario, step), share in table["bin 0"].items()}
    figure.alt = f"{title}: bars of how much of the range of uncertainty lies in bin 0. {each(said)}."
    return figure


@styled
def pseudo_label_dots(tables: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Which pixels different thresholds accept, a row per class.

    Args:
        tables: results of ``pseudo_label_rates``, by the thresholds' name: "released", "median" or "no threshold".
        title: the figure's title.
    """
    columns = {
        "threshold": "threshold as H / ln C, at most 1",
        "confident": "% of its pixels confident",
        "precision": "% of these right",
        "recall": "% of the true pixels found",
    }
    names = list(next(iter(tables.values())).index)
    figure = titled(title, 11, 0.26 * len(names) + 1.7)
    axes = figure.subplots(1, len(columns), sharey=True)
    for axis, (column, label) in zip(axes, columns.items(), strict=True):
        for name, table in tables.items():
            colour, marker = THRESHOLDS[name]
            values = table[column].where(np.isfinite(table[column]))
            values = values.clip(upper=1.0) if column == "threshold" else values
            face = "none" if name == "median" else colour  # others remain visible behind it
            style: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markersize": 7, "markeredgewidth": 2}
            axis.plot(values, np.arange(len(names)), marker, label=name, **style)
        axis.set_xlim((-0.04, 1.04) if column == "threshold" else (-4, 104))
        axis.set_title(label, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    axes[0].set_yticks(np.arange(len(names)), names)
    axes[0].invert_yaxis()
    legend_below(figure, axes[1].get_legend_handles_labels()[0], len(tables))
    means = {name: table[["confident", "precision", "recall"]].mean() for name, table in tables.items()}
    said = {
        name: f"{mean['confident']:.0f} confident, {mean['precision']:.0f} right, {mean['recall']:.0f} found"
        for name, mean in means.items()
    }
    figure.alt = f"{title}: dots for {len(names)} classes. Means over the classes, in percent: {each(said)}."
    return figure


@styled
def target_grid(
    pictures: UInt8[Any, "B 3 H W"],
    masks: Mapping[str, Integer[Any, "B H W"]],
    names: Sequence[str],
    title: str,
    credit: str = "",
) -> Figure:
    """Images with their targets: a row per image, a column for the image and for each mask, over the image in grey.

    Args:
        pictures: the images.
        masks: masks of labels, by the column's title.
        names: the labels' names.
        title: the figure's title.
        credit: attribution of the images, shown in small print.
    """
    count, width = len(pictures), 2.1 * (1 + len(masks))
    figure = titled(title, width, 2.0 * count + 1.2)
    axes = figure.subplots(count, 1 + len(masks), squeeze=False)
    for row, picture in enumerate(np.asarray(pictures)):
        axes[row][0].imshow(picture.transpose(1, 2, 0))
        for axis, mask in zip(axes[row][1:], masks.values(), strict=True):
            axis.imshow(overlay(picture, np.asarray(mask[row])), interpolation="nearest")
    for axis, name in zip(axes[0], ["image", *masks], strict=True):
        axis.set_title(name, fontsize=9)
    for axis in axes.flat:
        bare(axis)
    handles = class_patches(np.stack([np.asarray(mask) for mask in masks.values()]), names)
    handles.append(Patch(facecolor=IGNORED, edgecolor=EDGE, label="ignored"))
    legend_below(figure, handles, 6, credit)
    said = {f"{name}:": contents(np.asarray(labels), names) for name, labels in masks.items()}
    figure.alt = f"{title}: {count} images and their targets. {each(said)}."
    return figure
