"""Thresholds of PLOP's pseudo-labels: how the released code walks to them, what they reach, what they let through."""

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

from plopkit.lessons.thresholds.measures import FINE_BINS, Histograms, limit_of_share
from plopkit.thresholds import RELEASED_BINS, RELEASED_FLOOR, ReleasedMedian, released_median
from plopkit.viz.colours import IGNORED
from plopkit.viz.figures import Plain, bare, legend_below, pinned, titled
from plopkit.viz.legends import class_patches
from plopkit.viz.masks import overlay

RELEASED, MEDIAN, PLAIN = "#CC79A7", "#0072B2", "#777777"  # Okabe and Ito's; no methods are shown beside
STYLES = {"released": (RELEASED, "o"), "median": (MEDIAN, "D"), "no limit": (PLAIN, "|")}
MARKERS = (("o", RELEASED), ("s", MEDIAN), ("D", "#E69F00"), ("^", "#009E73"))
SHARE = "uncertainty H / ln C of the teacher, 0 to 1"


class WalkView:
    """The released walk of one class: a picture that is drawn once and then changed, quick enough to follow a slider.

    scale: that of the histograms to come (``Histograms.scale``).
    """

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
        self._brackets(math.floor(RELEASED_BINS / scale) + 2)
        self._limits(scale)

    def _brackets(self, bins: int) -> None:
        """Left: a pair of bars for each bin, from a total to the total and its count."""
        axis, index, nothing = self._left, np.arange(bins), np.zeros(bins)
        self._code = axis.bar(index - 0.2, nothing, 0.38, color=RELEASED, label="from the code's total, by its count")
        self._true = axis.bar(index + 0.2, nothing, 0.38, color=MEDIAN, label="from the true total, by its count")
        self._half = axis.axhline(0, color="black", linewidth=1.2, label="half of the pixels")
        star: dict[str, Any] = {"marker": "*", "markersize": 14, "markeredgecolor": "black", "linestyle": "none"}
        (self._star,) = axis.plot([], [], color=RELEASED, **star)
        axis.set(xticks=index, xlim=(-0.6, bins - 0.4), xlabel="bin of 100", ylabel="pixels")
        axis.legend(fontsize=8, loc="upper right")

    def _limits(self, scale: float) -> None:
        """Right: the same pixels by H / ln C, the code's bins as stripes, and both limits."""
        axis, wide = self._right, scale / RELEASED_BINS
        self._pixels = axis.stairs(np.zeros(FINE_BINS), np.linspace(0, 1, FINE_BINS + 1), fill=True, color="0.55")
        for place, border in enumerate(np.arange(0, 1, wide)):
            end = min(1, border + wide)
            axis.axvspan(border, end, color=("0.93", "0.98")[place % 2], zorder=-1)
            if end - border > 0.05:
                above: dict[str, Any] = {"transform": axis.get_xaxis_transform(), "ha": "center", "va": "bottom"}
                axis.text((border + end) / 2, 1, f"bin {place}", fontsize=8, **above)
        self._limit = axis.axvline(0, color=RELEASED, linewidth=2.5, label="the code's limit")
        self._median = axis.axvline(0, color=MEDIAN, linewidth=2.5, linestyle="--", label="true median")
        axis.set(xlim=(0, 1), xlabel=SHARE, ylabel="pixels")
        self._told = axis.legend(fontsize=8, loc="upper right").get_texts()

    def show(self, found: Histograms, channel: int, name: str) -> Figure:
        """channel: the teacher's; name: of its class. ValueError for histograms of another scale."""
        if found.scale != self._scale:
            raise ValueError(f"this picture's bins are those of scale {self._scale:g}, the histograms' {found.scale:g}")
        counts = found.released[channel]
        one = released_median(counts[None])
        self._title.set_text(f"{name}: {int(counts.sum()):,} background pixels that the teacher gives this class")
        self._show_walk(one, counts.numpy())
        self._show_limits(found, channel, float(one.values[0]))
        return self.figure

    def _show_walk(self, one: ReleasedMedian, counts: np.ndarray) -> None:
        half, end = float(one.half[0]), int(one.ends[0])
        before = counts.cumsum() - counts
        for bars, lower, height in ((self._code, one.running, one.looked[0]), (self._true, before, counts)):
            for bar, y, tall in zip(bars, lower.tolist(), height.tolist(), strict=False):  # beyond them no pixel lies
                bar.set(y=y, height=tall)
        self._half.set_ydata([half, half])
        reached = bool(one.stopped[0]) and end < len(self._code) and half > 0
        self._star.set_data(([end - 0.2], [half]) if reached else ([], []))
        told = f"the code stops in bin {end}" if one.stopped[0] else "the code finds no bin and ends in bin 99"
        self._left.title.set_text(told if half else "no pixel: the code gives 0")
        self._left.set_ylim(0, max(1.0, 3 * half))

    def _show_limits(self, found: Histograms, channel: int, value: float) -> None:
        fine = found.fine[channel].numpy()
        self._pixels.set_data(fine)
        limit, median = max(value, RELEASED_FLOOR) * found.scale, float(found.medians[channel])
        shown = f"{limit:.2f}" if limit <= 1 else "above all pixels"
        if math.isnan(value):
            limit, shown = 0.0, "not a number, no pixel is sure"
        self._limit.set_xdata([min(limit, 1.0)] * 2)
        self._median.set_xdata([median] * 2)
        for text, told in zip(self._told, (f"the code's limit: {shown}", f"true median: {median:.2f}"), strict=True):
            text.set_text(told)
        self._right.set_ylim(0, max(1.0, 1.35 * float(fine.max())))  # the legend lies above the bars


def threshold_walk(found: Histograms, channel: int, name: str) -> Figure:
    """One class: where the released code looks for half of its pixels, and where half is; its limit beside the median.

    channel: the teacher's; name: of its class.
    """
    return WalkView(found.scale).show(found, channel, name)


def limit_by_share(found: Mapping[str, Histograms], title: str) -> Figure:
    """The released limit over the share of a class's pixels in bin 0, and the classes measured; one marker per name."""
    figure = titled(title, 8.5, 4)
    axis = figure.subplots()
    times = next(iter(found.values())).scale
    for part in (np.linspace(0, 0.4999, 200), np.linspace(0.5, 1, 200)):
        limit = limit_of_share(torch.from_numpy(part)) * times
        axis.plot(part, limit, color="black", linewidth=1, label=None if part[0] else "the formula, two bins")
    for (name, one), (marker, colour) in zip(found.items(), cycle(MARKERS)):
        pixels = one.released.sum(1)
        there = pixels > 0
        limits = released_median(one.released).values[there] * one.scale
        shares = (one.released[:, 0] / pixels)[there]
        axis.plot(shares, limits, marker, color=colour, markersize=7, alpha=0.8, label=name, markeredgecolor="white")
    axis.axhline(1, color=PLAIN, linewidth=1, linestyle=":")
    axis.text(0.01, 1.02, "above this line every pixel is sure", fontsize=8, color="0.35")
    top = max(1.0, 0.02 * times)  # the end of bin 1
    axis.set(xlabel="share of the class's pixels in bin 0", xlim=(-0.02, 1.02), ylim=(0, 1.15 * top))
    axis.set_ylabel("the code's limit, as H / ln C")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="upper right")
    return figure


def threshold_reach(table: pd.DataFrame, title: str) -> Figure:
    """Rows of ``measures.reach``: which part of all possible uncertainty lies under each border."""
    parts = {
        "floor": ("#0072B2", f"under the floor, {RELEASED_FLOOR:g}"),
        "sure": (RELEASED, f"under {0.5 / RELEASED_BINS:g}"),
    }
    parts |= {"bin 0": ("#E69F00", f"in bin 0, under {1 / RELEASED_BINS:g}")}
    figure = titled(title, 9, 0.34 * len(table) + 1.5)
    axis = figure.subplots()
    rows = np.arange(len(table))
    axis.barh(rows, np.ones(len(table)), 0.75, color="0.9", label="above")
    for name, (colour, told) in reversed(parts.items()):
        axis.barh(rows, table[name], 0.75, color=colour, label=told)
    axis.set_yticks(rows, [f"{scenario}, step {step}" for scenario, step in table.index], fontsize=8)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), xlabel=SHARE)
    legend_below(figure, axis.get_legend_handles_labels()[0][::-1], 4)
    return figure


def let_through(tables: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """Tables of ``plopkit.lessons.thresholds.measures.let_through`` side by side, a row per class.

    By the name of their arithmetic, one of `STYLES`; KeyError for another.
    """
    columns = {
        "limit": "limit, as H / ln C (1 or above: at 1)",
        "sure": "% of its pixels sure",
        "right": "% of the sure ones right",
        "found": "% of the true pixels found",
    }
    names = list(next(iter(tables.values())).index)
    figure = titled(title, 11, 0.26 * len(names) + 1.7)
    axes = figure.subplots(1, len(columns), sharey=True)
    for axis, (column, told) in zip(axes, columns.items(), strict=True):
        for name, table in tables.items():
            colour, marker = STYLES[name]
            values = table[column].where(np.isfinite(table[column]))
            values = values.clip(upper=1.0) if column == "limit" else values
            face = "none" if name == "median" else colour  # so that another shows behind it
            style: dict[str, Any] = {"color": colour, "markerfacecolor": face, "markersize": 7, "markeredgewidth": 2}
            axis.plot(values, np.arange(len(names)), marker, label=name, **style)
        axis.set_xlim((-0.04, 1.04) if column == "limit" else (-4, 104))
        axis.set_title(told, fontsize=9)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
    axes[0].set_yticks(np.arange(len(names)), names)
    axes[0].invert_yaxis()
    legend_below(figure, axes[1].get_legend_handles_labels()[0], len(tables))
    return figure


def labelled(
    pictures: UInt8[Any, "B 3 H W"],
    masks: Mapping[str, Integer[Any, "B H W"]],
    names: Sequence[str],
    title: str,
    credit: str = "",
) -> Figure:
    """Rows are images; columns the image, then each of these masks of labels, by its name, over the image in grey."""
    count, width = len(pictures), 2.1 * (1 + len(masks))
    figure = titled(title, width, 2.0 * count + 1.2)
    axes = figure.subplots(count, 1 + len(masks), squeeze=False)
    for line, picture in enumerate(np.asarray(pictures)):
        axes[line][0].imshow(picture.transpose(1, 2, 0))
        for axis, mask in zip(axes[line][1:], masks.values(), strict=True):
            axis.imshow(overlay(picture, np.asarray(mask[line])), interpolation="nearest")
    for axis, name in zip(axes[0], ["image", *masks], strict=True):
        axis.set_title(name, fontsize=9)
    for axis in axes.flat:
        bare(axis)
    handles = class_patches(np.stack([np.asarray(mask) for mask in masks.values()]), names)
    handles.append(Patch(facecolor=IGNORED, edgecolor="0.5", label="no label"))
    legend_below(figure, handles, 6, credit)
    return figure
