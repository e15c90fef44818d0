"""The books of a run: what each finished step adds to `ticks.csv`, `summary.csv` and `results.csv`."""

import math
from collections.abc import Callable

import pandas as pd

from plopkit.runs.folder import RunFolder
from plopkit.runs.history import History
from plopkit.runs.results import summary_row, summary_table
from plopkit.runs.step_files import Ticks
from plopkit.runs.tables import append_rows, as_read_back, first_rows
from plopkit.support.appending import replace_text
from plopkit.support.files import table_text


class Books:
    """The tables of an unfinished run. A step costs what it adds, however many steps there were before.

    Only one process may keep a run's books.

    Args:
        folder: the run's folder.
        ticks: gives the ticks of a step that has been trained, as `StepStore.ticks` does.
    """

    def __init__(self, folder: RunFolder, ticks: Callable[[int], Ticks]):
        self._folder = folder
        self._ticks = ticks
        self._history = History()
        """the steps in the tables, of the numbers as they stand in `results.csv`"""

    def add(self, index: int, rows: pd.DataFrame, is_last: bool, by_domain: pd.DataFrame | None = None) -> None:
        """Add a step's rows to all tables, to ``results.csv`` last: a step that is in it is finished.

        Args:
            index: the step, the first that is not in ``results.csv``.
            rows: its rows of ``results.csv``.
            is_last: whether it is the scenario's last step.
            by_domain: its rows of ``domains.csv``; None where there are no domains.
        """
        if len(self._history.all) != index:
            self._restore(index)
        ticks, written = tick_rows(self._ticks(index)), as_read_back(rows)
        # The last row of a finished summary is computed before the numbers are rounded to six digits, and all others
        # after it. Whether a step is the last one is known when it is written, so that no row has to change later.
        row = summary_row(rows if is_last else written, self._history)
        folder = self._folder
        tables = {folder.ticks_file: ticks, folder.summary_file: summary_table([row])}
        if by_domain is not None:
            tables[folder.domains_file] = by_domain
        for path, added in {**tables, folder.results_file: rows}.items():
            if index:
                append_rows(path, added)
            else:
                replace_text(path, table_text(added))
        self._history = self._history.with_step(written)

    def _restore(self, n_steps: int) -> None:
        """Write the tables of the steps in ``results.csv`` again: a killed process may leave others."""
        history = History()
        summary = []
        for _, rows in self._folder.results.groupby("step"):
            summary.append(summary_row(rows, history))
            history = history.with_step(rows)
        replace_text(self._folder.summary_file, table_text(summary_table(summary)))
        if self._folder.domains_file.is_file() and n_steps:
            replace_text(self._folder.domains_file, first_rows(self._folder.domains_file, n_steps))
        write_ticks(self._folder, n_steps, self._ticks)
        self._history = history


def write_ticks(folder: RunFolder, n_steps: int, ticks: Callable[[int], Ticks]) -> None:
    """Write `ticks.csv` as a whole.

    Args:
        folder: the run's folder.
        n_steps: number of its steps, from the first one on.
        ticks: gives the ticks of a step.
    """
    rows = [tick for index in range(n_steps) for tick in ticks(index)]
    replace_text(folder.ticks_file, table_text(tick_rows(rows)))


def ticks_of_table(table: pd.DataFrame, index: int) -> Ticks:
    """The ticks of a step from `ticks.csv`, with as many digits as stand there."""
    rows = table[table["step"] == index]
    prefix = "loss_"
    ticks = []
    for row in rows.to_dict("records"):
        losses = {name.removeprefix(prefix): row[name] for name in rows if name.startswith(prefix)}
        plain = {name: value for name, value in row.items() if not name.startswith(prefix)}
        ticks.append(plain | {"losses": {name: value for name, value in losses.items() if not math.isnan(value)}})
    return ticks


def tick_rows(ticks: Ticks) -> pd.DataFrame:
    """The rows of `ticks.csv`, one per iteration."""
    rows = [tick | {f"loss_{name}": value for name, value in tick["losses"].items()} for tick in ticks]
    table = pd.DataFrame(rows, columns=None if rows else ["step"])  # a checkpoint from elsewhere has none
    left_out = ["epoch_done", "epochs", "n_iterations", "of", "losses"]  # "of" was n_iterations in plopkit 0.1
    return table.drop(columns=left_out, errors="ignore")
