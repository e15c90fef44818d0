"""A run while it trains: its losses so far, and the mIoU of the finished steps."""

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from plopkit.viz.colours import SCORE_GROUPS, term_colours
from plopkit.viz.curves import smoothed
from plopkit.viz.figures import Plain
from plopkit.viz.style import styled
from plopkit.viz.text import plain_log_numbers, wrapped
from plopkit.viz.words import course, each

GROUPS: dict[str, tuple[str, dict[str, Any]]] = {
    "old": ("classes of step 0", {"marker": "o"}),
    "new": ("learnt since", {"marker": "s"}),
    "all": ("all", {"marker": ".", "linestyle": "--"}),  # at step 0 on top of "old"
}


@styled
def live_curves(ticks: pd.DataFrame, summary: pd.DataFrame, n_steps: int, title: str) -> Figure:
    """The loss terms over the iterations of all steps, end to end, and mIoU after each finished step.

    Args:
        ticks: rows of `ticks.csv` so far (step, iteration, loss_*); may be empty.
        summary: rows of `summary.csv` so far; may be empty.
        n_steps: the number of steps in the scenario.
    """
    figure = Plain(figsize=(9.6, 3.3))
    figure.suptitle(wrapped(title, 9.6), fontsize=11)
    losses, scores = figure.subplots(1, 2, width_ratios=(3, 2))
    figure.subplots_adjust(left=0.1, right=0.985, bottom=0.15, top=0.82, wspace=0.2)
    _draw_losses(losses, ticks)
    _draw_scores(scores, summary, n_steps)
    figure.alt = f"{title}: {_in_words(ticks, summary)}."
    return figure


def _in_words(ticks: pd.DataFrame, summary: pd.DataFrame) -> str:
    terms = {name.removeprefix("loss_"): ticks[name] for name in ticks.columns if name.startswith("loss_")}
    losses = {name: course(smoothed(values), ".3g") for name, values in terms.items()}
    scores = {name: course(summary[group]) for group, (name, _) in GROUPS.items() if len(summary)}
    training = f"losses after {len(ticks):,} iterations, {each(losses)}" if losses else "no iteration yet"
    return f"{training}; " + (f"mIoU in percent, {each(scores)}" if scores else "no step finished yet")


def _draw_losses(axis: Axes, ticks: pd.DataFrame) -> None:
    axis.set_title("training", fontsize=9)
    axis.set(xlabel="iteration", ylabel="weighted loss", yscale="log")
    terms = [name for name in ticks.columns if name.startswith("loss_")]
    begin = 0
    for step, rows in ticks.groupby("step") if terms else ():
        axis.axvline(begin, color="0.6", linewidth=0.8, linestyle=":")
        axis.annotate(f" step {step}", (begin, 1), xycoords=axis.get_xaxis_transform(), va="top", fontsize=8)
        thin = slice(None, None, 1 + len(rows) // 1000)
        iterations = begin + rows["iteration"].to_numpy()[thin]
        for term, colour in term_colours(terms).items():
            first = step == ticks["step"][ticks[term].notna()].min()
            label = term.removeprefix("loss_") if first else None
            axis.plot(iterations, smoothed(rows[term]).to_numpy()[thin], color=colour, label=label)
        begin += int(rows["iteration"].max()) + 1
    axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    axis.grid(alpha=0.3)
    plain_log_numbers(axis)
    if terms:
        axis.legend(title="term", fontsize=8, title_fontsize=8, loc="lower left")


def _draw_scores(axis: Axes, summary: pd.DataFrame, n_steps: int) -> None:
    axis.set_title("validation", fontsize=9)
    axis.set(xlabel="after step", ylabel="mIoU (%)", ylim=(-2, 102), xlim=(-0.15, max(1, n_steps - 1) + 0.15))
    axis.set_xticks(range(0, max(2, n_steps), 1 + n_steps // 12))
    axis.grid(alpha=0.3)
    for group, (name, style) in GROUPS.items() if len(summary) else ():
        if summary[group].notna().any():
            axis.plot(summary["step"], summary[group], linewidth=2, label=name, color=SCORE_GROUPS[group], **style)
    if len(summary):
        axis.legend(fontsize=8, loc="upper right", ncols=3, columnspacing=1, handletextpad=0.4)
    else:
        axis.text(0.5, 0.5, "no step finished yet", ha="center", color="0.4", transform=axis.transAxes)
