"""The results of a grid: mean and standard deviation over its seeds, and over random class orders."""

import pandas as pd

from plopkit.orders import without_seed
from plopkit.runs.results import LEGEND, SHOWN, measure_names, summarise
from plopkit.support.printable import printable

ROW = ["scenario", "method", "step"]


def over_seeds(results: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, of each method's groups at each step.

    Args:
        results: rows of `load_results`.

    Returns:
        A row per scenario, method and step; columns `seeds`, and for each group and measure the mean in percent and, as
        `old_std`, the standard deviation of the sample, missing for a single seed.
    """
    runs = summarise(results)
    return _spread(runs, runs.groupby(ROW, sort=False)["seed"].nunique().rename("seeds"))


def over_orders(results: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over class orders drawn at random, each the mean over its seeds.

    Args:
        results: rows of `load_results`.

    Returns:
        As `over_seeds`, with `orders` in place of `seeds`, and scenarios such as "emoji 15-1 overlap order=random";
        empty where no scenario has several such orders.
    """
    orders = summarise(results).groupby(ROW, sort=False)[measure_names()].mean().reset_index()
    orders = orders.assign(order=orders["scenario"], scenario=orders["scenario"].map(without_seed))
    counts = orders.groupby("scenario")["order"].transform("nunique")
    drawn = orders[counts > 1]
    return _spread(drawn, drawn.groupby(ROW, sort=False)["order"].nunique().rename("orders"))


def table_of(results: pd.DataFrame) -> pd.DataFrame:
    """`over_seeds`, and below it `over_orders` where there are rows of it, with a column `orders`."""
    seeds, orders = over_seeds(results), over_orders(results)
    if orders.empty:
        return seeds
    return pd.concat([seeds, orders], ignore_index=True).astype({"seeds": "Int64", "orders": "Int64"})


def summary(results: pd.DataFrame) -> str:
    """`over_seeds` as text, scenario by scenario, such as "64.2 ± 0.6", and `over_orders` for random orders."""
    orders = over_orders(results)
    seeds = over_seeds(results)
    seeds = seeds[~seeds["scenario"].map(without_seed).isin(orders["scenario"])]
    parts = [part for counted, table in (("seeds", seeds), ("orders", orders)) for part in _texts(table, counted)]
    return printable("\n".join([*parts, *LEGEND]))


def _spread(runs: pd.DataFrame, counts: pd.Series) -> pd.DataFrame:
    """The mean and the standard deviation of every measure, next to what they are over."""
    grouped = runs.groupby(ROW, sort=False)
    table = counts.to_frame()
    for name in measure_names():
        table[name], table[f"{name}_std"] = grouped[name].mean(), grouped[name].std()
    return table.reset_index()


def _texts(table: pd.DataFrame, counted: str) -> list[str]:
    words = {"seeds": "seeds", "orders": "class orders drawn at random"}[counted]
    parts = []
    for scenario, rows in table.groupby("scenario", sort=False):
        shown = rows[["method", "step", counted]].copy()
        for name in SHOWN:
            pairs = zip(rows[name], rows[f"{name}_std"], strict=True)
            shown[name] = [_words(mean, deviation) for mean, deviation in pairs]
        parts.append(f"{scenario}: mIoU in percent on the validation set, mean ± standard deviation over {words}")
        parts.append(shown.to_string(index=False) + "\n")
    return parts


def _words(mean: float, deviation: float) -> str:
    if pd.isna(mean):
        return "-"
    return f"{mean:.1f}" if pd.isna(deviation) else f"{mean:.1f} ± {deviation:.1f}"
