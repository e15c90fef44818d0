"""One's own runs in the layout of the papers' tables, in both conventions, and the figures that plopkit carries."""

from collections.abc import Iterable

import pandas as pd

from plopkit.runs.results import published
from plopkit.support import resources

OWN = "own runs"
CONVENTIONS = {"yes": ("old", "all"), "no": ("old_nobg", "all_nobg")}
"""Is the background counted? Then these columns of a summary are the papers' ``old`` and ``all``."""
COLUMNS = ["scenario", "method", "old", "new", "all", "avg", "background_counted", "source", "seeds"]


def measured(name: str) -> pd.DataFrame:
    """Figures measured with plopkit, rows like those of ``summary.csv``: ``emoji_15-5_three_seeds``,
    ``emoji_15-5_all_methods`` or ``emoji_15-1_all_methods``. FileNotFoundError for another name."""
    return pd.read_csv(resources.path(f"measured/{name}.csv"))


def last_steps(summary: pd.DataFrame) -> pd.DataFrame:
    """Of each scenario, method and seed the row of its last step."""
    summary = summary.reset_index(drop=True)  # tables put together may repeat their rows' numbers
    last = summary.groupby(["scenario", "method", "seed"], sort=False)["step"].idxmax()
    return summary.loc[last].reset_index(drop=True)


def conventions(summary: pd.DataFrame, source: str = OWN) -> pd.DataFrame:
    """Rows of ``summary.csv`` -> two rows per scenario and method in the layout of the papers' tables: the background
    counted, and not. mIoU in percent after the last step, the mean over ``seeds``; ``avg`` has one convention only.

    source: whose runs they are.
    """
    made = []
    for (scenario, method), rows in last_steps(summary).groupby(["scenario", "method"], sort=False):
        for counted, (old, everything) in CONVENTIONS.items():
            means = rows[[old, "new", everything, "avg"]].mean()
            avg = means["avg"] if counted == "yes" else float("nan")
            numbers = [means[old], means["new"], means[everything], avg]
            made.append([scenario, method, *numbers, counted, source, rows["seed"].nunique()])
    return pd.DataFrame(made, columns=COLUMNS)


def beside(scenarios: Iterable[str], summary: pd.DataFrame | None = None) -> pd.DataFrame:
    """The papers' rows of these scenarios, and one's own of the very same scenarios, each in both conventions.

    summary: rows of ``summary.csv`` of any runs; those of other scenarios are left out.
    """
    own = None if summary is None else conventions(summary)
    parts = []
    for scenario in dict.fromkeys(scenarios):
        parts.append(published(scenario).assign(scenario=scenario, seeds=float("nan")).reindex(columns=COLUMNS))
        if own is not None:
            parts.append(own[own["scenario"] == scenario])
    filled = [part for part in parts if len(part)]
    return pd.concat(filled, ignore_index=True) if filled else pd.DataFrame(columns=COLUMNS)
