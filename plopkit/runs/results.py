"""The tidy table of a run, and what is read off it: summaries, forgetting, comparisons, the papers' numbers beside."""

import glob
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from plopkit.metrics import accuracy, forgetting, group_means, iou
from plopkit.scenario import Scenario, Step, check
from plopkit.settings import flat, from_yaml
from plopkit.support import resources

KEYS = ["scenario", "method", "seed"]
TYPES: dict[str, type] = {
    **{"scenario": str, "method": str, "seed": int, "step": int, "label": int, "name": str},
    **{"learned_at": int, "iou": float, "accuracy": float, "pixels": int},
}
"""The columns of ``results.csv``. A class may be named "null" or "007": names are text."""
GROUPS = ["old", "new", "all", "old_nobg", "all_nobg"]


def step_rows(
    scenario: Scenario, method: str, seed: int, step: Step, counts: np.ndarray, names: Sequence[str]
) -> pd.DataFrame:
    """One row per seen class from a step's confusion matrix (n_seen, n_seen).

    iou and accuracy in percent; pixels of the class in the validation set; learned_at is the step that brought it.
    """
    learned_at = {label: s.index for s in scenario.steps for label in s.new}
    columns = {
        "scenario": str(scenario),
        "method": method,
        "seed": seed,
        "step": step.index,
        "label": step.seen,
        "name": [names[label] for label in step.seen],
        "learned_at": [learned_at[label] for label in step.seen],
        "iou": iou(counts),
        "accuracy": accuracy(counts),
        "pixels": np.asarray(counts).sum(1),
    }
    return pd.DataFrame(columns)


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """One row per step: mIoU in percent of the groups, and ``avg``, the mean of ``all`` over the steps so far."""
    rows = []
    for keys, steps in results.groupby(KEYS, sort=False):
        history: list[float] = []
        for step, table in steps.groupby("step"):
            means = group_means(table["iou"].to_numpy(), int((table["learned_at"] == 0).sum()))
            history.append(means["all"])
            rows.append(dict(zip(KEYS, keys, strict=True)) | {"step": step} | means | {"avg": float(np.mean(history))})
    return pd.DataFrame(rows, columns=[*KEYS, "step", *GROUPS, "avg"])


def forgetting_table(results: pd.DataFrame) -> pd.DataFrame:
    """One row per run and class: its best IoU so far minus the last, in points."""
    rows = []
    for keys, run in results.groupby(KEYS, sort=False):
        history = run.pivot(index="step", columns="label", values="iou")
        names = run.drop_duplicates("label").set_index("label")
        for label, lost in zip(history.columns, forgetting(history.to_numpy()), strict=True):
            told = {"label": label, "name": names["name"][label], "learned_at": names["learned_at"][label]}
            rows.append(dict(zip(KEYS, keys, strict=True)) | told | {"forgetting": lost})
    return pd.DataFrame(rows)


def most_different_example(runs: Mapping[str, Mapping[str, np.ndarray]], labels: Iterable[int]) -> int:
    """The place of the example image on which the runs differ most about ``labels`` after their last step.

    runs: each method's ``RunFolder.examples``, all of the same images. Counted in pixels that are of these labels and
    that one run finds and another does not; the first image where several are even.
    """
    examples = list(runs.values())
    asked = np.isin(examples[0]["masks"], list(labels))
    found = [(asked & (one["predictions"][-1] == one["masks"])).sum((1, 2)) for one in examples]
    return int(np.argmax(np.max(found, axis=0) - np.min(found, axis=0)))


def run_folders(paths: Iterable[str | Path]) -> list[Path]:
    """The folders with results among ``paths`` (or patterns such as ``runs/*``) and below them.

    A ``results.csv`` of another program is left out, with a line on stderr. FileNotFoundError where there is none.
    """
    given = [Path(found) for path in paths for found in sorted(glob.glob(str(path))) or [str(path)]]
    found = [
        p
        for path in given
        for p in (path, *sorted(p.parent for p in path.rglob("results.csv")))
        if (p / "results.csv").is_file()
    ]
    unique: dict[Path, Path] = {}
    for path in found:
        unique.setdefault(path.resolve(), path)
    ours = [path for path in unique.values() if not _foreign(path / "results.csv")]
    for path in unique.values():
        if path not in ours:
            print(f"{path / 'results.csv'}: left out, its columns are not those of a run", file=sys.stderr)
    if not ours:
        raise FileNotFoundError(
            f"no results.csv of a run in or below {', '.join(map(str, given)) or 'nothing'}; name run folders"
        )
    return ours


def _foreign(path: Path) -> bool:
    """Are the columns not those of a run? Where none can be read, the settings beside them tell."""
    try:
        return not set(TYPES) <= set(pd.read_csv(path, nrows=0, encoding_errors="replace"))
    except ValueError:  # empty, or no table
        return not (path.parent / "settings.yaml").is_file()


def _rows(path: Path) -> pd.DataFrame:
    """The rows of a run's ``results.csv``; ValueError where the file is damaged."""
    try:
        table = pd.read_csv(path, dtype=TYPES, keep_default_na=False, na_values=[""])  # "NA" is a name, "" no number
        wrong = (
            "no rows" if table.empty else "a step's class twice" if table.duplicated(["step", "label"]).any() else ""
        )
    except ValueError as error:
        wrong = str(error)
    if wrong:
        raise ValueError(f"{path}: damaged ({wrong}); move it away and run again: what is trained is kept")
    return table


def load_results(*paths: str | Path) -> pd.DataFrame:
    """The rows of all these runs' ``results.csv``, with a column ``run``, the folder.

    Runs of one method that differ in more than the seed are no repetitions of each other: their ``method`` tells what
    differs as well, e.g. ``plop (optim.lr 0.01)``, or the folder where the very same run was made twice.

    FileNotFoundError where there is none, ValueError where one's file is damaged.
    """
    tables = {path: _rows(path / "results.csv") for path in run_folders(paths)}
    keys = pd.DataFrame([table[KEYS].iloc[0] for table in tables.values()], index=list(tables))
    for _, runs in keys.groupby(["scenario", "method"], sort=False):
        for path, differing in _apart(runs["seed"].to_dict()).items():
            tables[path]["method"] += f" ({differing})" if differing else ""
    return pd.concat([table.assign(run=str(path)) for path, table in tables.items()], ignore_index=True)


def _apart(seeds: dict[Path, int]) -> dict[Path, str]:
    """What tells these runs of one method apart, beside their seeds: as few settings as do it, then the folder."""
    settings = {path: _decisive(path) for path in seeds}
    names = dict.fromkeys(name for one in settings.values() for name in one)
    labels: dict[Path, tuple[str, ...]] = dict.fromkeys(seeds, ())
    for name in names:
        more = {p: (*labels[p], f"{name} {one[name]}") if name in one else labels[p] for p, one in settings.items()}
        if len(set(more.values())) > len(set(labels.values())):
            labels = more
    alike = defaultdict(list)
    for path, seed in seeds.items():
        alike[seed, labels[path]].append(path)
    for twins in alike.values():
        if len(twins) > 1:
            short = len({path.name for path in twins}) == len(twins)
            labels |= {path: (*labels[path], path.name if short else str(path)) for path in twins}
    return {path: ", ".join(words) for path, words in labels.items()}


def _decisive(path: Path) -> dict[str, Any]:
    """The settings by which two runs of one method may differ; none where the folder does not tell them."""
    try:
        found = flat(from_yaml(path / "settings.yaml").identity())
    except (OSError, ValueError):
        return {}
    where = set() if found["scenario"].startswith("folder ") else {"data.root"}  # VOC is the same everywhere
    return {name: value for name, value in found.items() if name not in {*KEYS, *where}}


def compare(results: pd.DataFrame) -> pd.DataFrame:
    """Mean over seeds of each method's groups at each step: index (scenario, method, step), with a column ``seeds``."""
    grouped = summarise(results).groupby(["scenario", "method", "step"], sort=False)
    table = grouped[[*GROUPS, "avg"]].mean()
    table.insert(0, "seeds", grouped["seed"].nunique())
    return table


def published(scenario: str) -> pd.DataFrame:
    """The papers' rows for a scenario's data set, task and protocol, mIoU in percent after the last step.

    None for a class order, and where the papers have none. Raises the ValueError of ``Scenario.parse``.
    """
    table = pd.read_csv(resources.path("published.csv"), keep_default_na=True)
    chosen = table["dataset"] + " " + table["task"] + " " + table["protocol"] == check(scenario)
    return table[chosen].reset_index(drop=True)


def report(results: pd.DataFrame) -> str:
    """The comparison as text, scenario by scenario, with the published rows below where there are any."""
    parts = []
    for scenario, table in compare(results).groupby(level="scenario", sort=False):
        shown = table.droplevel("scenario").reset_index()
        parts.append(f"{scenario}: mIoU in percent on the validation set, mean over seeds")
        parts.append(shown.to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
        parts.append(_most_forgotten(results[results["scenario"] == scenario]))
        theirs = published(str(scenario))
        if len(theirs):
            columns = ["method", "old", "new", "all", "avg", "background_counted", "source"]
            parts.append("\npublished, after the last step:")
            parts.append(theirs[columns].to_string(index=False, float_format="{:.1f}".format, na_rep="-"))
        parts.append("")
    parts.append("old: the labels of step 0 with background; new: all learnt since; _nobg: without background;")
    parts.append("avg: mean of `all` over the steps so far.")
    return "\n".join(parts)


def _most_forgotten(results: pd.DataFrame, shown: int = 3) -> str:
    """A line per method: the mean forgetting of step 0's classes, and the classes lost most, in points."""
    table = forgetting_table(results)
    table = table[(table["learned_at"] == 0) & (table["label"] > 0)]
    lines = ["forgetting of the classes of step 0, in points of IoU:"]
    for method, rows in table.groupby("method", sort=False):
        classes = rows.groupby("name", sort=False)["forgetting"].mean().sort_values(ascending=False)
        worst = ", ".join(f"{name} {lost:.0f}" for name, lost in classes.head(shown).items())
        lines.append(f"  {method}: mean {classes.mean():.1f}; most: {worst}")
    return "\n".join(lines)
