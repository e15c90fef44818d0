"""The tables of a run: the columns of `results.csv`, and the one place that reads it."""

from pathlib import Path

import pandas as pd

KEYS = ["scenario", "method", "seed"]
REQUIRED_COLUMNS: dict[str, type] = {
    **{"scenario": str, "method": str, "seed": int, "step": int, "label": int, "name": str},
    **{"learned_at": int, "iou": float, "accuracy": float, "pixels": int},
}
"""The columns that every `results.csv` has, with their types: a row per step and class seen. Further metrics are
optional."""


def read_results(path: Path) -> pd.DataFrame:
    """The rows of a run's `results.csv`.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: where it is damaged; names the file and the remedy.
    """
    try:
        # A class may be named "null" or "007": names are text, and only an empty field is a missing number.
        table = pd.read_csv(path, dtype=REQUIRED_COLUMNS, keep_default_na=False, na_values=[""])
        missing = [name for name in REQUIRED_COLUMNS if name not in table]
        if missing:
            problem = f"no column {missing[0]!r}"
        elif table.empty:
            problem = "no rows"
        else:
            problem = "a step's class twice" if table.duplicated(["step", "label"]).any() else ""
    except ValueError as error:
        problem = str(error)
    if problem:
        raise ValueError(f"{path}: damaged ({problem}); move it away and run again: what is trained is kept")
    return table
