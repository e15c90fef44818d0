"""The tables of a run: how they grow, the columns of `results.csv`, and the one place that reads it."""

import io
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from plopkit.support.appending import append_text, read_appended, replace_text
from plopkit.support.files import table_text
from plopkit.support.printable import one_line

KEYS = ["scenario", "method", "seed"]
REQUIRED_COLUMNS: dict[str, type] = {
    **{"scenario": str, "method": str, "seed": int, "step": int, "label": int, "name": str},
    **{"learned_at": int, "iou": float, "accuracy": float, "pixels": int},
}
"""The columns that every `results.csv` has, with their types: a row per step and class seen. Further metrics are
optional."""


SUMMARY_COLUMNS: dict[str, type] = {
    **{"scenario": str, "method": str, "seed": int, "step": int},
    **dict.fromkeys(("old", "new", "all", "old_nobg", "all_nobg", "avg"), float),
}
TICKS_COLUMNS: dict[str, type] = {"step": int}


def read_results(path: Path) -> pd.DataFrame:
    """The rows of a run's `results.csv`.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: where it is damaged; names the file and the remedy.
    """
    try:
        table = parse_results(read_appended(path))
        missing = [name for name in REQUIRED_COLUMNS if name not in table]
        problem = f"no column {missing[0]!r}" if missing else _problem(table)
    except (ValueError, OverflowError) as error:  # OverflowError: a number of twenty digits
        problem = one_line(error, 300)
    if problem:
        raise ValueError(f"{path}: damaged ({problem}); move it away and run again: what is trained is kept")
    return table


def _problem(table: pd.DataFrame) -> str:
    """What is wrong with the rows of a `results.csv`; empty if nothing is."""
    if table.empty:
        return "no rows"
    if table.duplicated(["step", "label"]).any():
        return "a step's class twice"
    for name, highest in (("step", 2**16), ("label", 2**16), ("learned_at", 2**16), ("pixels", 2**62)):
        if not table[name].between(0, highest).all():
            return f"a {name} that is not 0 to {highest:,}"
    for name in ("iou", "accuracy"):
        if not (table[name].between(-1e-6, 100.000001) | table[name].isna()).all():
            return f"a value of {name} that is not 0 to 100"
    return ""


def parse_results(text: bytes) -> pd.DataFrame:
    """The rows of a `results.csv` from its content."""
    # A class may be named "null" or "007": names are text, and only an empty field is a missing number.
    return pd.read_csv(io.BytesIO(text), dtype=REQUIRED_COLUMNS, keep_default_na=False, na_values=[""])


def as_read_back(results: pd.DataFrame) -> pd.DataFrame:
    """Rows of `results.csv` with their numbers as a reader gets them: with six digits after the point."""
    return parse_results(table_text(results).encode())


def read_table(path: Path, columns: Mapping[str, type] = TICKS_COLUMNS) -> pd.DataFrame:
    """The rows of `ticks.csv` or `summary.csv`, also while one of them is growing.

    Args:
        path: The file.
        columns: The types of its columns; `step` it must have.

    Raises:
        FileNotFoundError: where there is none.
        ValueError: where it is damaged; names the file and the remedy.
    """
    try:
        table = pd.read_csv(io.BytesIO(read_appended(path)), dtype=dict(columns))
        if "step" not in table:
            raise ValueError("no column 'step'")
        return table
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{path}: damaged ({one_line(error)}); move it and results.csv away and run again: what is trained is kept"
        ) from error


def append_rows(path: Path, rows: pd.DataFrame) -> None:
    """Append rows to a table of a run; what is there already is not written again.

    Columns that the rows lack are left empty. Only where the rows have columns that the file lacks is the file written
    as a whole, with these columns at the end.

    Raises:
        FileNotFoundError: There is no such table.
    """
    columns = list(pd.read_csv(path, nrows=0))
    if added := [name for name in rows if name not in columns]:
        columns += added
        before = pd.read_csv(io.BytesIO(read_appended(path)), dtype=str, keep_default_na=False)
        before = before.reindex(columns=columns, fill_value="")
        replace_text(path, table_text(before) + table_text(rows.reindex(columns=columns), header=False))
    elif len(rows):
        append_text(path, table_text(rows.reindex(columns=columns), header=False))
