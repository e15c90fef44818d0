"""The tables of a run: how they grow, the columns of `results.csv`, and the one place that reads it."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from plopkit.grammar import is_of_unknown_data_set
from plopkit.metrics import PER_CLASS
from plopkit.scenario import Scenario, Step, check
from plopkit.support.appending import append_text, read_appended, replace_text
from plopkit.support.files import table_text
from plopkit.support.printable import one_line
from plopkit.support.seals import DamagedError, missing, sealed_digests

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
    **dict.fromkeys(("hiou", "pixel_accuracy", "background", "forgetting", "backward_transfer"), float),
}
TICKS_COLUMNS: dict[str, type] = {"step": int, "epoch": int, "iteration": int, "lr": float, "seconds": float}
AGAIN = "run the command of this run again: the table is made again, and what is trained is kept"


def class_rows(
    scenario: Scenario, method: str, seed: int, step: Step, counts: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
    """One row per class seen after a step: what `results.csv` and `domains.csv` have in common.

    Args:
        scenario: The scenario.
        method: The method's name.
        seed: The run's seed.
        step: The step that has been trained.
        counts: (n_seen, n_seen), the confusion matrix; rows are targets.
        names: A name per label.
    """
    return pd.DataFrame(
        {
            "scenario": str(scenario),
            "method": method,
            "seed": seed,
            "step": step.index,
            "label": step.seen,
            "name": [names[label] for label in step.seen],
            **{metric: function(counts) for metric, function in PER_CLASS.items()},
            "pixels": np.asarray(counts).sum(1),
        }
    )


def read_results(path: Path) -> pd.DataFrame:
    """The rows of a run's `results.csv`, those of whole steps from step 0 on.

    Raises:
        FileNotFoundError: where there is none.
        DamagedError: where it is damaged, or lacks rows; names the file and the remedy.
    """
    content = _content(path)
    try:
        table = parse_results(content)
        missing = [name for name in REQUIRED_COLUMNS if name not in table]
        problem = f"no column {missing[0]!r}" if missing else _problem(table) or _scenario_problem(table)
        if not problem and not sealed_digests(path):
            problem = differs_from_scenario(table)
    except (ValueError, OverflowError) as error:  # OverflowError: a number of twenty digits
        problem = one_line(error, 300)
    if problem:
        raise DamagedError(path, f"damaged ({problem})", AGAIN)
    return table


def _content(path: Path) -> bytes:
    try:
        return read_appended(path)
    except FileNotFoundError:
        raise missing(path, AGAIN) from None


def _problem(table: pd.DataFrame) -> str:
    """What is wrong with the rows of a `results.csv`; empty where every step has each class seen so far once."""
    if table.empty:
        return "no rows"
    if table.duplicated(["step", "label"]).any():
        return "a step's class twice"
    if several := [name for name in KEYS if table[name].nunique() != 1]:
        return f"no {several[0]}, or several"
    for name, highest in (("step", 2**16), ("label", 2**16), ("learned_at", 2**16), ("pixels", 2**62)):
        if not table[name].between(0, highest).all():
            return f"a {name} that is not 0 to {highest:,}"
    for name in ("iou", "accuracy"):
        if not (table[name].between(-1e-6, 100.000001) | table[name].isna()).all():
            return f"a value of {name} that is not 0 to 100"
    n_steps = int(table["step"].max()) + 1
    learned_at = table.groupby("label")["learned_at"].agg(["min", "max", "size"])
    whole = (learned_at["min"] == learned_at["max"]).all() and (table["step"] >= table["learned_at"]).all()
    if not whole or (learned_at["size"] != n_steps - learned_at["min"]).any():
        return "rows are missing"
    return ""


def _scenario_problem(table: pd.DataFrame) -> str:
    """What is wrong with the scenario of a `results.csv`; empty where it is one, or its data set is unknown here."""
    scenario = table["scenario"].iloc[0]
    if not is_of_unknown_data_set(scenario):
        try:
            check(scenario)
        except ValueError as error:
            return one_line(error, 300)
    return ""


def differs_from_scenario(table: pd.DataFrame) -> str:
    """What is wrong with the classes of each step; empty where they are those of the scenario, or it is unknown."""
    try:
        steps = Scenario.parse(table["scenario"].iloc[0]).steps[: int(table["step"].max()) + 1]
    except ValueError:  # of a plugin that is not loaded, or the user's own classes
        return ""
    seen = dict(table.groupby("step")["label"].agg(set))
    return "" if seen == {step.index: set(step.seen) for step in steps} else "rows are missing"


def parse_results(text: bytes) -> pd.DataFrame:
    """The rows of a `results.csv` from its content."""
    # A class may be named "null" or "007": names are text, and only an empty field is a missing number.
    return pd.read_csv(io.BytesIO(text), dtype=REQUIRED_COLUMNS, keep_default_na=False, na_values=[""])


def as_read_back(results: pd.DataFrame) -> pd.DataFrame:
    """Rows of `results.csv` with their numbers as a reader gets them: with six digits after the point."""
    return parse_results(table_text(results).encode())


def read_table(path: Path, counted: str = "", columns: Mapping[str, type] = TICKS_COLUMNS) -> pd.DataFrame:
    """The rows of `ticks.csv` or `summary.csv`, also while one of them is growing.

    Args:
        path: the file.
        counted: a column that counts the rows from 0; within each step where it is another one than `step`.
        columns: the types of its columns; `step` it must have.

    Raises:
        FileNotFoundError: where there is none.
        DamagedError: where it is damaged, or lacks rows.
    """
    content = _content(path)
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=dict(columns))
        if "step" not in table:
            raise ValueError("no column 'step'")
        if wrong := [name for name in table.filter(like="loss_") if not is_numeric_dtype(table[name])]:
            raise ValueError(f"no numbers in column {wrong[0]!r}")
        groups = [table] if counted in ("", "step") else [rows for _, rows in table.groupby("step")]
        if counted in table and any(sorted(rows[counted]) != list(range(len(rows))) for rows in groups):
            raise ValueError("rows are missing")
    except (ValueError, OverflowError) as error:
        raise DamagedError(path, f"damaged ({one_line(error)})", AGAIN) from error
    return table


def first_rows(path: Path, n_steps: int) -> str:
    """The text of `results.csv` with the rows of its first steps only."""
    table = pd.read_csv(io.BytesIO(read_appended(path)), dtype=str, keep_default_na=False)
    return table_text(table[table["step"].astype(int) < n_steps])


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
