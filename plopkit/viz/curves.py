"""Curves: mIoU through the steps, methods side by side, and one run's losses."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Okabe and Ito's colours, safe for the colour-blind, in the order of the tables; markers tell methods apart in grey.
METHOD_COLOURS = {"ft": "#D55E00", "mib": "#56B4E9", "plop": "#009E73", "joint": "#000000"}
SPARE = ("#E69F00", "#CC79A7", "#0072B2", "#F0E442", "#999999")
MARKERS = "osD^vPX*"
GROUP_TITLES = {
    "old_nobg": "classes of step 0, without background",
    "new": "classes learnt since",
    "all": "all classes and background",
}


def method_style(method: str, place: int) -> dict[str, object]:
    """Line style of a method: its own colour, or a spare one by its place."""
    colour = METHOD_COLOURS.get(method.split()[0], SPARE[place % len(SPARE)])
    return {"color": colour, "marker": MARKERS[place % len(MARKERS)]}


def forgetting_curves(summary: pd.DataFrame, title: str) -> Figure:
    """mIoU after each step of old, new and all classes; a line per method, the mean over seeds in a band of the range.

    summary: rows of ``summary.csv`` of one scenario, any methods and seeds.
    """
    figure = Figure(figsize=(10, 3.4), layout="constrained")
    figure.suptitle(title, fontsize=11)
    axes = figure.subplots(1, len(GROUP_TITLES), sharey=True)
    for axis, (group, name) in zip(axes, GROUP_TITLES.items(), strict=True):
        for place, (method, rows) in enumerate(summary.groupby("method", sort=False)):
            steps = rows.groupby("step")[group].agg(["mean", "min", "max"]).dropna()
            style = method_style(str(method), place)
            axis.plot(steps.index, steps["mean"], label=method, linewidth=2, **style)
            axis.fill_between(steps.index, steps["min"], steps["max"], color=style["color"], alpha=0.15, linewidth=0)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("after step")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        axis.set_xlim(-0.15, summary["step"].max() + 0.15)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("mIoU (%)")
    axes[0].set_ylim(0, 100)
    axes[0].legend(title="method", fontsize=8, title_fontsize=8)
    return figure


def loss_curves(ticks: pd.DataFrame, title: str) -> Figure:
    """Every loss term over a run's iterations, smoothed, one panel per step."""
    steps = list(ticks.groupby("step"))
    figure = Figure(figsize=(max(4.5, 3.2 * len(steps)), 3.0), layout="constrained")
    figure.suptitle(title, fontsize=11)
    terms = [name for name in ticks.columns if name.startswith("loss_")]
    for place, (axis, (step, rows)) in enumerate(
        zip(figure.subplots(1, len(steps), squeeze=False)[0], steps, strict=True)
    ):
        window = max(1, len(rows) // 40)
        for number, term in enumerate(name for name in terms if rows[name].notna().any()):
            smooth = rows[term].rolling(window, min_periods=1).mean()
            axis.plot(rows["iteration"], smooth, label=term.removeprefix("loss_"), color=SPARE[2 - number % 3])
        axis.set(title=f"step {step}", xlabel="iteration", yscale="log")
        axis.title.set_fontsize(9)
        axis.grid(alpha=0.3)
        axis.legend(title="term", fontsize=8, title_fontsize=8)
        if place == 0:
            axis.set_ylabel("loss (as added up)")
    return figure
