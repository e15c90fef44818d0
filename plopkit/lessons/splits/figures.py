"""Which step learns which classes: schedules, an image's targets, what the background hides, scores of classes."""

from collections.abc import Mapping, Sequence
from textwrap import shorten
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from plopkit.scenario import Scenario, Step
from plopkit.viz.colours import EDGE, HIDDEN, IMAGE_COUNTS, OTHER_STEPS, colour_of, legend_colour
from plopkit.viz.figures import Plain, legend_below, titled
from plopkit.viz.masks import grid, overlay
from plopkit.viz.style import styled
from plopkit.viz.text import wrapped
from plopkit.viz.words import contents, course, each

SHARES = {"background": "true background", "old": "hidden old classes", "future": "hidden future classes"}
MOST_SAID = 4  # of more steps, the alt text says the first and the last
NAMED = 30  # with more classes than that, the columns are too narrow for names


@styled
def schedule(scenario: Scenario, names: Sequence[str], table: pd.DataFrame, images: tuple[int, int]) -> Figure:
    """A row per step: how the targets treat each class, and how many images there are.

    Args:
        scenario: the scenario.
        names: class names, indexed by label.
        table: `steps_table` of the scenario.
        images: the numbers of all training and of all validation images.
    """
    classes, steps = scenario.order[1:], scenario.steps
    named = len(classes) <= NAMED
    head, foot = (1.6 if named else 0.85), 0.85  # inches
    row_height = max(0.12, min(0.32, 2.2 / len(steps)))  # twenty steps still fit on a screen
    height = head + row_height * len(steps) + foot
    figure = Plain(figsize=(9.2, height))
    figure.suptitle(wrapped(str(scenario), 9), fontsize=11, y=1 - 0.12 / height, va="top")
    # One pair of axes, and words instead of ticks: what follows a control has to be drawn quickly.
    axis = figure.add_axes((0.075, foot / height, 0.92, 1 - (head + foot) / height))
    axis.set_axis_off()
    board = np.array([_cells(step, classes) for step in steps])
    n, end = len(classes), len(classes) * 1.7  # the bars are as wide as 0.7 times all columns
    edges = np.arange(n + 1), np.arange(len(steps) + 1)
    axis.pcolormesh(*edges, board, edgecolors="white", linewidth=1.5 if named else 0.2)
    axis.set(xlim=(0, end), ylim=(len(steps), 0))
    for row, step in enumerate(steps):
        axis.text(-0.01 * n, row + 0.5, f"step {step.index}", ha="right", va="center", fontsize=_fontsize(row_height))
    for place, label in enumerate(classes if named else ()):
        axis.text(place + 0.5, 0, f" {_named(label, names)}", rotation=90, ha="center", va="bottom", fontsize=8)
    for place in (0, *range(4, n, 5 if named else 25)):
        axis.text(place + 0.5, len(steps) + 0.032 / row_height, str(place + 1), ha="center", va="top", fontsize=8)
    middle = 0.075 + 0.46 / 1.7  # of the columns, as a fraction of the figure
    words = "channel: position in the order learnt"
    figure.text(middle, (foot - 0.2) / height, words, ha="center", va="top", fontsize=9)
    for start, kind, total in ((1.03 * n, "training", images[0]), (1.37 * n, "validation", images[1])):
        _bars(axis, start, 0.2 * n, kind, table[f"{kind} images"].to_numpy(), total, row_height)
    patches = [Patch(facecolor=colour, edgecolor=EDGE, label=words) for words, colour in _legend(scenario).items()]
    figure.legend(handles=patches, loc="lower center", ncols=len(patches), fontsize=8, frameon=False)
    counts = zip(steps, table["training images"], table["validation images"], strict=True)
    said = [
        f"step {step.index}: {len(set(step.new) - {0})} new classes, {train:,} and {val:,}"
        for step, train, val in counts
    ]
    if len(said) > MOST_SAID:
        said = [*said[: MOST_SAID // 2], "…", *said[-(MOST_SAID // 2) :]]
    figure.alt = f"{scenario}: classes and numbers of training and validation images. {'; '.join(said)}."
    return figure


def _fontsize(row_height: float) -> float:
    """The size in points of words that fit into a row of this height in inches."""
    return min(9, 56 * row_height)


def _named(label: int, names: Sequence[str]) -> str:
    return f"{label} {shorten(str(names[label]), 14, placeholder='…')}"


def _cells(step: Step, classes: Sequence[int]) -> list[tuple[float, float, float]]:
    """A class's own colour where the step's targets show it, otherwise a grey that says why they do not."""
    table = step.lookup(step.labelled)
    unseen = OTHER_STEPS["future" if step.protocol == "overlap" else "left out"]
    return [colour_of(c) if table[c] else to_rgb(OTHER_STEPS["old"] if c in step.old else unseen) for c in classes]


def _legend(scenario: Scenario) -> dict[str, Any]:
    """The meanings of the colours that occur in a schedule."""
    meanings: dict[str, Any] = {"in colour: labelled": colour_of(scenario.order[1])}
    if len(scenario.steps) > 1 and scenario.protocol != "sequential":
        meanings["old: labelled background"] = OTHER_STEPS["old"]
    if len(scenario.steps) > 1 and scenario.protocol == "overlap":
        meanings["future: labelled background"] = OTHER_STEPS["future"]
    elif len(scenario.steps) > 1:
        meanings["future: images that show it are left out"] = OTHER_STEPS["left out"]
    return meanings


def _bars(axis: Axes, start: float, width: float, kind: str, counts: np.ndarray, total: int, row_height: float) -> None:
    """A bar per row, which begins at ``start``; one for all images would be ``width`` wide."""
    fontsize = min(8, _fontsize(row_height))
    for row, count in enumerate(counts):
        # Faster than barh.
        axis.add_artist(Rectangle((start, row + 0.15), width * count / total, 0.7, facecolor=IMAGE_COUNTS))
        place = start + width * (count / total + 0.04)
        axis.text(place, row + 0.5, f"{count:,}", va="center", fontsize=fontsize)
    axis.text(start, -0.048 / row_height, f"{kind} images\n(of {total:,})", va="bottom", fontsize=9)


def targets(
    image: UInt8[np.ndarray, "3 H W"],
    mask: Integer[np.ndarray, "H W"],
    scenarios: Mapping[str, Scenario],
    names: Sequence[str],
    title: str,
    credit: str = "",
) -> Figure:
    """One image's target at every step, in the colours of the labels that its channels stand for.

    Args:
        image: the image.
        mask: its true labels.
        scenarios: a row each, by the row's name, e.g. one per protocol. Steps that do not use the image stay empty.
        names: class names, indexed by label.
        title: title of the figure.
        credit: attribution of the images, shown in small print.
    """
    present = {int(label) for label in np.unique(mask)}
    rows, left_out, said = [], [], []
    for line, (name, scenario) in enumerate(scenarios.items()):
        shown = []
        row = [image.transpose(1, 2, 0), overlay(image, mask)]
        for step in scenario.steps:
            labels = step.label_of[step.lookup(step.labelled)[mask]]
            row.append(overlay(image, labels))
            used = step.uses(present)
            shown.append(f"step {step.index} {contents(labels, names) if used else 'not used'}")
            if not used:
                left_out.append((line, len(row) - 1))
                row[-1] = np.full_like(row[-1], 235)
        rows.append(row)
        said.append(f"{name}: {', '.join(shown)}")
    columns = ["image", "mask (labels)", *(f"target of step {k}" for k in range(max(map(len, rows)) - 2))]
    figure = grid(rows, list(scenarios), columns, present, names, title, credit, alt="; ".join(said))
    for line, place in left_out:
        figure.axes[0].text(place + 0.5, line + 0.5, "not used", ha="center", va="center", fontsize=9)
    return figure


@styled
def hidden_bars(tables: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """What the background of each step's targets consists of: a panel per `hidden_table`, by the panel's name."""
    figure = titled(title, 9.2, 3.4)
    axes = figure.subplots(1, len(tables), sharey=True, squeeze=False)[0]
    for axis, (name, table) in zip(axes, tables.items(), strict=True):
        bottom = np.zeros(len(table))
        for kind, words in SHARES.items():
            shares = table[kind].to_numpy()
            axis.bar(table.index, shares, bottom=bottom, color=HIDDEN[kind], label=words, width=0.7)
            for step, share, low in zip(table.index, shares, bottom, strict=True):
                if share >= 4 and len(table) <= 6:
                    ink = "white" if kind == "future" else "black"
                    axis.text(step, low + share / 2, f"{share:.0f}", ha="center", va="center", fontsize=8, color=ink)
            bottom += shares
        axis.set_title(name, fontsize=10)
        axis.set_xlabel("step")
        axis.set_xticks(table.index)
    axes[0].set(ylim=(0, 100), ylabel="share of the background (%)")
    legend_below(figure, axes[0].get_legend_handles_labels()[0], len(SHARES))
    said = [
        f"{name}: {each({SHARES[kind]: course(table[kind], '.0f') for kind in SHARES})}"
        for name, table in tables.items()
    ]
    figure.alt = (
        f"{title}: bars of what the background is made of, in percent, from the first step to the last. "
        f"{'; '.join(said)}."
    )
    return figure


@styled
def class_bars(scores: Mapping[str, np.ndarray], labels: Sequence[int], names: Sequence[str], title: str) -> Figure:
    """The IoU of every class, in percent, and its mean: a panel per entry of ``scores``.

    Args:
        scores: IoU (n,) by the panel's name, NaN where a class does not occur.
        labels: labels of the n classes.
        names: class names, indexed by label.
        title: title of the figure.
    """
    figure = titled(title, 9.2, 1.6 * len(scores) + 1.4)
    axes = figure.subplots(len(scores), 1, sharex=True, squeeze=False)[:, 0]
    colours = [legend_colour(label) for label in labels]
    for axis, (name, values) in zip(axes, scores.items(), strict=True):
        axis.bar(range(len(values)), np.nan_to_num(values), color=colours, edgecolor=EDGE, linewidth=0.5)
        axis.set_title(f"{name}: mIoU {np.nanmean(values):.1f} %", fontsize=10)
        axis.set(ylim=(0, 105), ylabel="IoU (%)")
    if len(labels) <= NAMED:
        axes[-1].set_xticks(range(len(labels)), [_named(label, names) for label in labels], rotation=90, fontsize=8)
    axes[-1].set_xlabel("class, by its channel")
    said = each(
        {
            name: f"mIoU {np.nanmean(values):.1f}, {np.nanmin(values):.0f} to {np.nanmax(values):.0f}"
            for name, values in scores.items()
        }
    )
    figure.alt = f"{title}: bars of the IoU of {len(labels)} classes in percent, mean and range. {said}."
    return figure
