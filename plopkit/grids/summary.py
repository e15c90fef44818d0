"""The results of a grid: mean and standard deviation over its seeds."""

import pandas as pd

from plopkit.runs.results import LEGEND, SHOWN, measure_names, summarise
from plopkit.support.printable import printable


def over_seeds(results: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation over the seeds, of each method's groups at each step.

    Args:
        results: rows of `load_results`.

    Returns:
        A row per scenario, method and step; columns `seeds`, and for each group and measure the mean in percent and, as
        `old_std`, the standard deviation of the sample, missing for a single seed.
    """
    grouped = summarise(results).groupby(["scenario", "method", "step"], sort=False)
    table = grouped["seed"].nunique().to_frame("seeds")
    for name in measure_names():
        table[name], table[f"{name}_std"] = grouped[name].mean(), grouped[name].std()
    return table.reset_index()


def summary(results: pd.DataFrame) -> str:
    """`over_seeds` as text, scenario by scenario, such as "64.2 ± 0.6"."""
    parts = []
    for scenario, table in over_seeds(results).groupby("scenario", sort=False):
        shown = table[["method", "step", "seeds"]].copy()
        for name in SHOWN:
            pairs = zip(table[name], table[f"{name}_std"], strict=True)
            shown[name] = [_words(mean, deviation) for mean, deviation in pairs]
        parts.append(f"{scenario}: mIoU in percent on the validation set, mean ± standard deviation over seeds")
        parts.append(shown.to_string(index=False) + "\n")
    parts += LEGEND
    return printable("\n".join(parts))


def _words(mean: float, deviation: float) -> str:
    if pd.isna(mean):
        return "-"
    return f"{mean:.1f}" if pd.isna(deviation) else f"{mean:.1f} ± {deviation:.1f}"
