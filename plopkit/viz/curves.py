"""Curves: mIoU through the steps, method by method, and the losses of one run."""

import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from plopkit.support.moved import renamed
from plopkit.viz.colours import method_styles, term_colours
from plopkit.viz.figures import titled
from plopkit.viz.style import styled
from plopkit.viz.text import plain_log_numbers
from plopkit.viz.words import course, each

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


GROUP_TITLES = {
    "old_nobg": "classes of step 0, without background",
    "new": "classes learnt since",
    "all": "all classes and background",
}


def shifts(n_lines: int, last: int) -> list[float]:
    """How far each line is moved along the steps, so that no marker hides another of the same height.

    Two neighbours are a marker apart where there is room; all together take less than half a step.
    """
    between = min(0.04 * (last + 0.3), 0.4 / max(1, n_lines - 1))
    return [between * (index - (n_lines - 1) / 2) for index in range(n_lines)]


@styled
def forgetting_curves(summary: pd.DataFrame, title: str, groups: Mapping[str, str] = GROUP_TITLES) -> Figure:
    """mIoU of old, new and all classes after each step: a line per method, the mean over seeds with a band.

    Args:
        summary: rows of `summary.csv` of one scenario, of any methods and seeds.
        title: the figure's title.
        groups: the columns that are drawn, in percent, each with the title of its panel.

    Example:
        >>> forgetting_curves(plopkit.RunFolder("runs/...").summary, "emoji 15-5 overlap")
    """
    figure = titled(title, 11, 3.4)
    axes = figure.subplots(1, len(groups), sharey=True)
    last = int(summary["step"].max())
    runs = summary.groupby("method", sort=False)
    styles = method_styles([str(method) for method in runs.groups])
    moved = shifts(len(styles), last)
    said = []
    for axis, (group, name) in zip(axes, groups.items(), strict=True):
        ends = {}
        for (method, rows), shift in zip(runs, moved, strict=True):
            steps = rows.groupby("step")[group].agg(["mean", "min", "max"]).dropna()
            style, places = styles[str(method)], steps.index + shift
            axis.plot(places, steps["mean"], label=method, linewidth=2, **style)
            axis.fill_between(places, steps["min"], steps["max"], color=style["color"], alpha=0.15, linewidth=0)
            ends[str(method)] = course(steps["mean"])
        said.append(f"{name}: {each(ends)}")
        if summary[group].isna().all():
            axis.text(0.5, 0.5, "none", ha="center", transform=axis.transAxes)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("after step")
        axis.set_xlim(-0.15 + moved[0], last + 0.15 + moved[-1])
        axis.set_xticks(range(0, last + 1, 1 + last // 12))
        axis.grid(alpha=0.3)
    measure = "mIoU" if groups is GROUP_TITLES else "scores"
    axes[0].set_ylabel(f"{measure} (%)")
    axes[0].set_ylim(-2, 102)
    handles, names = axes[0].get_legend_handles_labels()
    names = [textwrap.fill(label, 24) for label in names]
    figure.legend(handles, names, title="method", loc="outside right upper", fontsize=8, title_fontsize=8)
    figure.alt = f"{title}: curves of {measure} in percent, from the first step to the last. {'; '.join(said)}."
    return figure


@styled
def domain_curves(means: pd.DataFrame, title: str) -> Figure:
    """mIoU of each domain by itself after each step: a panel per domain, a line per method, a dot where it is learnt.

    Args:
        means: rows of `runs.domains.domain_means` of one scenario, of any methods and seeds.
    """
    domains = means.drop_duplicates("domain").sort_values("learned_at", kind="stable")
    n_columns = min(len(domains), 7)
    n_rows = -(-len(domains) // n_columns)
    figure = titled(title, 2.2 + 2.1 * n_columns, 0.9 + 2.3 * n_rows)
    axes = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).flatten()
    styles = method_styles([str(method) for method in dict.fromkeys(means["method"])])
    last = int(means["step"].max())
    moved = dict(zip(styles, shifts(len(styles), last), strict=True))
    said = []
    for axis, domain, learned_at in zip(axes, domains["domain"], domains["learned_at"], strict=False):
        ends = {}
        for method, rows in means[means["domain"] == domain].groupby("method", sort=False):
            steps = rows.groupby("step")["miou"].agg(["mean", "min", "max"]).dropna()
            style, shift = styles[str(method)], moved[str(method)]
            axis.plot(steps.index + shift, steps["mean"], label=method, linewidth=2, **style)
            axis.fill_between(
                steps.index + shift, steps["min"], steps["max"], color=style["color"], alpha=0.15, linewidth=0
            )
            if learned_at in steps.index:
                axis.plot(learned_at + shift, steps["mean"][learned_at], "o", color=style["color"])
            ends[str(method)] = course(steps["mean"])
        said.append(f"{domain}, learnt in step {learned_at}: {each(ends)}")
        axis.set_title(f"{domain}, step {learned_at}", fontsize=9)
        axis.set_xlim(-0.15 + min(moved.values()), last + 0.15 + max(moved.values()))
        axis.set_xticks(range(0, last + 1, 1 + last // 6))
        axis.grid(alpha=0.3)
    for axis in axes[len(domains) :]:
        axis.set_axis_off()
    for axis in axes[::n_columns]:
        axis.set_ylabel("mIoU (%)")
    for axis in axes[max(0, len(domains) - n_columns) : len(domains)]:
        axis.set_xlabel("after step")
        axis.tick_params(labelbottom=True)
    axes[0].set_ylim(-2, 102)
    handles, names = axes[0].get_legend_handles_labels()
    names = [textwrap.fill(label, 24) for label in names]
    figure.legend(handles, names, title="method", loc="outside right upper", fontsize=8, title_fontsize=8)
    figure.alt = (
        f"{title}: curves of each domain's mIoU in percent, from the first step to the last. {'; '.join(said)}."
    )
    return figure


def smoothed(losses: pd.Series) -> pd.Series:
    """The moving average over a fortieth of a step's iterations.

    NaN where there is no loss, and where it is 0, which a logarithmic axis cannot show.
    """
    smooth = losses.rolling(max(1, len(losses) // 40), min_periods=1).mean()
    return smooth.where((smooth > 0) & losses.notna())


@styled
def loss_curves(ticks: pd.DataFrame, title: str) -> Figure:
    """Every loss term of a run over its iterations, smoothed; a panel per step.

    Args:
        ticks: rows of `ticks.csv`, with the columns step, iteration and loss_*.
    """
    steps = list(ticks.groupby("step"))
    width = 1.2 + max(3.6, 2.6 * len(steps))
    figure = titled(title, width, 3.0)
    terms = [name for name in ticks.columns if name.startswith("loss_")]
    colours = term_colours(terms)
    lines, said = {}, []
    axes = figure.subplots(1, len(steps), squeeze=False)[0]
    for axis, (step, rows) in zip(axes, steps, strict=True):
        for term in (name for name in terms if rows[name].notna().any()):
            lines[term] = axis.plot(rows["iteration"], smoothed(rows[term]), color=colours[term])[0]
        ends = {
            term.removeprefix("loss_"): course(smoothed(rows[term]), ".3g")
            for term in terms
            if rows[term].notna().any()
        }
        said.append(f"Step {step}: {each(ends)}")
        axis.set(title=f"step {step}", xlabel="iteration", yscale="log")
        axis.title.set_fontsize(9)
        axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        plain_log_numbers(axis)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("weighted loss")
    names = [term.removeprefix("loss_") for term in lines]
    figure.legend(list(lines.values()), names, title="term", loc="outside right upper", fontsize=8, title_fontsize=8)
    figure.alt = f"{title}: curves of the loss terms over the iterations. {'; '.join(said)}."
    return figure
