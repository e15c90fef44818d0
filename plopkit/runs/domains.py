"""The results of each domain by itself, in the protocol `domain`: `domains.csv`, and what is computed from it.

The rows of `results.csv` are over all domains seen, so that a domain that is forgotten only lowers them. Here a row is
of one class in the images of one domain: the domains of step 0 can be followed through all later steps.
"""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from plopkit.grammar import has_domains
from plopkit.metrics import forgetting
from plopkit.runs.tables import AGAIN, KEYS, class_rows
from plopkit.scenario import Scenario, Step
from plopkit.support.appending import read_appended
from plopkit.support.printable import one_line
from plopkit.support.seals import DamagedError, missing

DOMAINS_FILE = "domains.csv"
COLUMNS: dict[str, type] = {
    **{"scenario": str, "method": str, "seed": int, "step": int, "domain": str, "learned_at": int},
    **{"label": int, "name": str, "iou": float, "accuracy": float, "pixels": int},
}
"""The columns of `domains.csv`: as in `results.csv`, but `learned_at` is the step that learnt the domain."""


def domain_rows(
    scenario: Scenario, method: str, seed: int, step: Step, counts: Mapping[str, np.ndarray], names: Sequence[str]
) -> pd.DataFrame:
    """One row per class and domain seen after a step.

    Args:
        scenario: The scenario.
        method: The method's name.
        seed: The run's seed.
        step: The step that has been trained.
        counts: By domain, the confusion matrix (n_seen, n_seen); rows are targets.
        names: A name per label.

    Returns:
        The columns of `domains.csv`; without rows where there are no domains.
    """
    learned_at = {domain: each.index for each in scenario.steps for domain in each.domains}
    tables = []
    for domain, of_domain in counts.items():
        rows = class_rows(scenario, method, seed, step, of_domain, names)
        rows.insert(rows.columns.get_loc("step") + 1, "domain", domain)
        rows.insert(rows.columns.get_loc("domain") + 1, "learned_at", learned_at[domain])
        tables.append(rows)
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))


def read_domains(path: Path, n_steps: int) -> pd.DataFrame:
    """The rows of a run's `domains.csv`.

    Args:
        path: The file.
        n_steps: Number of steps that it must have, from step 0 on.

    Raises:
        FileNotFoundError: There is none.
        DamagedError: It is damaged, or lacks rows; names the file and the remedy.
    """
    try:
        content = read_appended(path)
    except FileNotFoundError:
        raise missing(path, AGAIN) from None
    try:  # names are text, as in `results.csv`
        table = pd.read_csv(io.BytesIO(content), dtype=COLUMNS, keep_default_na=False, na_values=[""])
        if absent := [name for name in COLUMNS if name not in table]:
            raise ValueError(f"no column {absent[0]!r}")
    except (ValueError, OverflowError) as error:
        raise DamagedError(path, f"damaged ({one_line(error, 300)})", AGAIN) from error
    if problem := _problem(table, n_steps):
        raise DamagedError(path, f"damaged ({problem})", AGAIN)
    return table


def _problem(table: pd.DataFrame, n_steps: int) -> str:
    """What is wrong with the rows; empty where every step has each class of each domain seen so far once."""
    per_domain = table.groupby(["step", "domain"]).size()
    domains = table.groupby("domain")["learned_at"].agg(["min", "max"])
    expected = {(step, domain) for domain, first in domains["min"].items() for step in range(first, n_steps)}
    if (
        not expected <= set(per_domain.index)
        or set(range(n_steps)) - set(domains["min"])
        or table.duplicated(["step", "domain", "label"]).any()
        or per_domain.nunique() > 1
        or (domains["min"] != domains["max"]).any()
    ):
        return "rows are missing, or there twice"
    return ""


def load_domains(results: pd.DataFrame) -> pd.DataFrame:
    """The rows of the `domains.csv` of runs.

    Args:
        results: Rows of `load_results`; the runs of other protocols have no such file.

    Returns:
        The rows, with the runs' `method` as in `results`, and a column `run`; without rows where no run has domains.

    Example:
        >>> by_domain = domain_means(load_domains(load_results("runs")))
    """
    tables = []
    for run, rows in results.groupby("run", sort=False):
        if has_domains(str(rows["scenario"].iloc[0])):
            n_steps = int(rows["step"].max()) + 1
            table = read_domains(Path(str(run)) / DOMAINS_FILE, n_steps)
            tables.append(table[table["step"] < n_steps].assign(method=rows["method"].iloc[0], run=run))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=[*COLUMNS, "run"])


def domain_means(rows: pd.DataFrame) -> pd.DataFrame:
    """The mIoU of each domain after each step.

    Args:
        rows: Rows of `domains.csv`.

    Returns:
        One row per run, step and domain: `scenario`, `method`, `seed`, `step`, `domain`, `learned_at`, and `miou` in
        percent over the classes that the domain's images show.
    """
    keys = [*KEYS, "step", "domain", "learned_at"]
    return rows.groupby(keys, sort=False)["iou"].mean().rename("miou").reset_index()


def domain_forgetting(means: pd.DataFrame) -> pd.DataFrame:
    """How much each domain has lost.

    Args:
        means: `domain_means`.

    Returns:
        One row per run and domain: `learnt`, its mIoU after the step that learnt it, `last`, after the last step, and
        `forgetting`, its best mIoU minus the last, in points.
    """
    rows = []
    for keys, run in means.groupby([*KEYS, "domain", "learned_at"], sort=False):
        history = run.sort_values("step")["miou"].to_numpy()
        lost = float(forgetting(history[:, None])[0])
        columns = [*KEYS, "domain", "learned_at"]
        rows.append(
            dict(zip(columns, keys, strict=True)) | {"learnt": history[0], "last": history[-1], "forgetting": lost}
        )
    return pd.DataFrame(rows, columns=[*KEYS, "domain", "learned_at", "learnt", "last", "forgetting"])


def domain_report(rows: pd.DataFrame) -> str:
    """A line per method and domain: mIoU when it was learnt and after the last step, the mean over seeds."""
    table = domain_forgetting(domain_means(rows))
    columns = ["learnt", "last", "forgetting"]
    means = table.groupby(["method", "domain", "learned_at"], sort=False)[columns].mean().reset_index()
    means["method"] = means["method"].map(one_line)
    lines = ["mIoU of each domain by itself, when it was learnt and after the last step; forgetting in points:"]
    lines.append(means.to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
    return "\n".join(lines)
