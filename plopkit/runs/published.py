"""The rows of the published tables: the command that makes each, the papers' mIoU, and one's own beside it."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from plopkit.catalogue import DATASETS, METHODS
from plopkit.presets import configure
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Scenario
from plopkit.settings import Settings
from plopkit.support import resources

# The twelve of cssegmentation's page on PLOP come first.
FIRST = [
    ("plop", f"{dataset} {task} {protocol}")
    for dataset, entry in DATASETS.items()
    for task in entry.table_tasks
    for protocol in ("disjoint", "overlap")
]


def rows(folders: Sequence[Path] = ()) -> pd.DataFrame:
    """One row per method and scenario: published ``all`` after the last step with its source, one's own, the command.

    folders: run folders; those that the row's command made, whatever the seed and the machine, fill ``own``,
    ``own_nobg`` and ``seeds``: the mean over seeds, several runs of one seed counting as their mean. mIoU in percent.
    A folder that lacks a file is left out, with a line on stderr.
    """
    table = pd.read_csv(resources.path("published.csv"))
    table["scenario"] = table["dataset"] + " " + table["task"] + " " + table["protocol"]
    listed = table[table["dataset"].isin(DATASETS) & table["method"].isin(METHODS)]
    order = dict.fromkeys([*FIRST, *zip(listed["method"], listed["scenario"], strict=True)])
    finished = list(_finished(folders))
    made = []
    for method, scenario in order:
        theirs = listed[(listed["method"] == method) & (listed["scenario"] == scenario)]
        told = [
            f"{row.all:g} {'with' if row.background_counted == 'yes' else 'without'} background, {row.source}"
            for row in theirs.itertuples()
            if pd.notna(row.all)
        ]
        recipe = _recipe(configure(_trained(method, scenario), method, "paper"))
        mine = [row for other, row in finished if other == recipe]
        own = pd.DataFrame(mine, columns=["seed", "all", "all_nobg"]).groupby("seed").mean()
        made.append(
            {
                "method": method,
                "scenario": scenario,
                "published": "; ".join(told) or "-",
                "own": own["all"].mean(),
                "own_nobg": own["all_nobg"].mean(),
                "seeds": len(own),
                "command": command(method, scenario),
            }
        )
    return pd.DataFrame(made)


def command(method: str, scenario: str) -> str:
    """What trains a row."""
    trained = _trained(method, scenario)
    return f'plopkit run "{trained}" --method {method} --preset paper --data.root data/{scenario.split()[0]}'


def _trained(method: str, scenario: str) -> str:
    """The papers' joint training is of one step."""
    return f"{scenario.split()[0]} joint" if method == "joint" else scenario


def _recipe(settings: Settings) -> dict[str, Any]:
    """What makes a run one of a row: neither the seed, nor where data lie, nor what it is computed on.

    ImageNet weights may be torchvision's or those of the papers, from a file. Evaluated checkpoints, which no training
    here made, are no row's.
    """
    identity = settings.identity()
    if identity["model"]["weights"] != "none":
        identity["model"]["weights"] = "of ImageNet"
    del identity["seed"], identity["compute"], identity["data"]["root"], identity["model"]["norm"]
    return identity


def _finished(folders: Sequence[Path]) -> Iterator[tuple[dict[str, Any], dict[str, float]]]:
    """The recipe of each finished run, and what it came to."""
    for folder in map(RunFolder, folders):
        try:
            if last := _last(folder):
                yield _recipe(folder.settings), last
        except FileNotFoundError as error:
            print(f"{folder.path}: left out, there is no {Path(error.filename).name} in it", file=sys.stderr)
        except ValueError as error:
            print(f"{folder.path}: left out, its settings or its summary cannot be read ({error})", file=sys.stderr)


def _last(folder: RunFolder) -> dict[str, float] | None:
    """A finished run's seed and mIoU after its last step; None for an unfinished one and for a user's own data."""
    scenario, summary = folder.settings.scenario, folder.summary
    if scenario.startswith("folder") or len(summary) < len(Scenario.parse(scenario).steps):
        return None
    return summary.iloc[-1][["seed", "all", "all_nobg"]].to_dict()
