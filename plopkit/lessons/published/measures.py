"""Own runs in the layout of the papers' tables, with and without background, and results measured with plopkit."""

from collections.abc import Iterable

import pandas as pd

from plopkit.runs.results import published
from plopkit.support import resources

OWN = "own runs"
CONVENTIONS = {"yes": ("old", "all"), "no": ("old_nobg", "all_nobg")}
"""By whether the background is counted: the columns of a summary that are the papers' ``old`` and ``all``."""
UNTIL_PLOP = ("ft", "pi", "ewc", "rw", "lwf", "lwf-mc", "ilt", "mib", "plop", "joint")
"""The methods that the tables of MiB and PLOP compare."""
PIXELS = ["pixel_accuracy", "background"]
"""Columns of a summary that show what a mean over classes hides; the papers do not report them."""
COLUMNS = ["scenario", "method", "old", "new", "all", "avg", *PIXELS, "background_counted", "source", "seeds"]


def measured(name: str) -> pd.DataFrame:
    """Results measured with plopkit: rows like those of ``summary.csv``.

    Args:
        name: ``emoji_15-5_three_seeds``, ``emoji_15-5_all_methods`` or ``emoji_15-1_all_methods``.

    Raises:
        FileNotFoundError: there are no results of this name.
    """
    return pd.read_csv(resources.path(f"measured/{name}.csv"))


def last_steps(summary: pd.DataFrame) -> pd.DataFrame:
    """The row of the last step of each scenario, method and seed."""
    summary = summary.reset_index(drop=True)  # concatenated tables may repeat index values
    last = summary.groupby(["scenario", "method", "seed"], sort=False)["step"].idxmax()
    return summary.loc[last].reset_index(drop=True)


def both_conventions(summary: pd.DataFrame, source: str = OWN) -> pd.DataFrame:
    """Runs in the layout of the papers' tables, in both conventions.

    Args:
        summary: rows of ``summary.csv``.
        source: who ran them.

    Returns:
        Two rows per scenario and method, one with the background counted, one without: mIoU in percent after the last
        step, the mean over ``seeds``. ``avg`` exists in the first convention only. ``PIXELS`` are
        missing where the rows lack them.
    """
    rows = []
    last = last_steps(summary)
    last = last.reindex(columns=[*last, *(name for name in PIXELS if name not in last)])  # earlier tables lack them
    for (scenario, method), runs in last.groupby(["scenario", "method"], sort=False):
        for counted, (old, everything) in CONVENTIONS.items():
            means = runs[[old, "new", everything, "avg", *PIXELS]].mean()
            avg = means["avg"] if counted == "yes" else float("nan")
            numbers = [means[old], means["new"], means[everything], avg, *means[PIXELS]]
            rows.append([scenario, method, *numbers, counted, source, runs["seed"].nunique()])
    return pd.DataFrame(rows, columns=COLUMNS)


def published_and_own(scenarios: Iterable[str], summary: pd.DataFrame | None = None) -> pd.DataFrame:
    """The published rows of these scenarios, and own runs of exactly the same scenarios in both conventions.

    Args:
        scenarios: which scenarios to list, in this order.
        summary: rows of ``summary.csv`` of own runs; those of other scenarios are left out.
    """
    own = None if summary is None else both_conventions(summary)
    tables = []
    for scenario in dict.fromkeys(scenarios):
        tables.append(published(scenario).assign(scenario=scenario, seeds=float("nan")).reindex(columns=COLUMNS))
        if own is not None:
            tables.append(own[own["scenario"] == scenario])
    tables = [table for table in tables if len(table)]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def until_plop(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the methods that the tables of MiB and PLOP compare, whoever printed or ran them."""
    return table[table["method"].isin(UNTIL_PLOP)].reset_index(drop=True)
