"""The rows of the published tables: the command that reproduces each, the papers' mIoU, and that of your own runs."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from plopkit.catalogue import DATASETS, METHODS, PLUGIN_HINT
from plopkit.grammar import is_of_unknown_data_set, joined, read_words
from plopkit.presets import draft, settle
from plopkit.recipes import RECIPES, WITH_MAPS
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Scenario
from plopkit.settings import Settings
from plopkit.support import resources
from plopkit.support.bars import log


class Row(NamedTuple):
    """A row of the papers' tables."""

    method: str
    dataset: str
    task: str
    protocol: str

    @property
    def scenario(self) -> str:
        """The scenario of the table."""
        return joined(self.dataset, self.task, self.protocol)

    @property
    def trained(self) -> str:
        """The scenario that is trained: joint training has one step."""
        return joined(self.dataset, "joint", "overlap") if self.method == "joint" else self.scenario

    @property
    def maps(self) -> dict[str, str]:
        """The folder of saliency maps that it needs, as a setting."""
        return {"data.saliency": f"data/{self.dataset}/saliency"} if (self.method, self.dataset) in WITH_MAPS else {}

    def command(self, recipe: str = "own") -> str:
        """The command that trains it."""
        chosen = "" if recipe == "own" else f" --recipe {recipe}"
        places = {"data.root": f"data/{self.dataset}"} | self.maps
        named = " ".join(f"--{name} {place}" for name, place in places.items())
        return f'plopkit run "{self.trained}" --method {self.method} --preset paper{chosen} {named}'


def rows(folders: Sequence[Path] = (), recipe: str = "own") -> pd.DataFrame:
    """One row per method and scenario of the papers' tables.

    Args:
        folders: Run folders. Those that a row's command made, whatever the seed and the machine, fill its `own`,
            `own_nobg` and `seeds`. A folder that lacks a file, or whose data set is unknown here, is left out, with a
            line on stderr.
        recipe: "own", or "common" for PLOP's network, epochs, batch and evaluation with every method.

    Returns:
        Columns `method`, `scenario`; `published`, the mIoU after the last step with its source; `own` and `own_nobg`,
        mIoU in percent with and without background, the mean over seeds, where several runs of a seed count as their
        mean; `seeds`; `command`.
    """
    papers = pd.read_csv(resources.path("published.csv"))
    papers = papers[papers["dataset"].isin(list(DATASETS)) & papers["method"].isin(list(METHODS))]
    columns = (papers[name] for name in Row._fields)
    finished = list(_finished(folders))
    table = []
    for row in dict.fromkeys([*_first_rows(), *map(Row, *columns), *_rows_without_results(papers)]):
        same = (papers[list(Row._fields)] == pd.Series(row._asdict())).all(axis=1)
        published = [
            f"{paper.all:g} {'with' if paper.background_counted == 'yes' else 'without'} background, {paper.source}"
            for paper in papers[same].itertuples()
            if pd.notna(paper.all)
        ]
        asked = draft(row.trained, row.method, "paper", row.maps, recipe=recipe)
        results = [result for settings, result in finished if _follows(settings, asked)]
        own = pd.DataFrame(results, columns=["seed", "all", "all_nobg"]).groupby("seed").mean()
        table.append(
            {
                "method": row.method,
                "scenario": row.scenario,
                "published": "; ".join(published) or "-",
                "own": own["all"].mean(),
                "own_nobg": own["all_nobg"].mean(),
                "seeds": len(own),
                "command": row.command(recipe),
            }
        )
    return pd.DataFrame(table)


def _first_rows() -> list[Row]:
    """The twelve rows of cssegmentation's page on PLOP."""
    return [
        Row("plop", name, task, protocol)
        for name, entry in DATASETS.items()
        for task in entry.table_tasks
        for protocol in ("disjoint", "overlap")
    ]


def _rows_without_results(papers: pd.DataFrame) -> list[Row]:
    """Rows of methods for which no published result can be read, such as DFT*."""
    lacking = [name for name in RECIPES if name not in set(papers["method"])]
    tasks = [(name, task) for name, entry in DATASETS.items() for task in entry.table_tasks]
    return [Row(method, *task, "overlap") for method in lacking for task in tasks]


def _follows(settings: Settings, recipe: Settings) -> bool:
    """Whether settings are those of a recipe; the method is imported only where nothing else differs."""
    if settings.start.is_given:  # another recipe may have trained its step 0
        return False
    own, other = _decisive(settings), _decisive(recipe)
    if own | {"hyper": None} != other | {"hyper": None}:
        return False
    return own["hyper"] == _decisive(settle(recipe))["hyper"]


def _decisive(settings: Settings) -> dict[str, Any]:
    """The settings that make a recipe: without the seed, the data's location and the hardware.

    ImageNet weights may be torchvision's or those of the papers, from a file. Checkpoints that were evaluated, and not
    trained here, follow no recipe: their weights are "none".
    """
    identity = settings.identity()
    if identity["model"]["weights"] != "none":
        identity["model"]["weights"] = "of ImageNet"
    del identity["seed"], identity["compute"], identity["data"]["root"], identity["model"]["norm"]
    return identity


def _finished(folders: Sequence[Path]) -> Iterator[tuple[Settings, dict[str, float]]]:
    """The settings and the final result of each finished run."""
    for folder in map(RunFolder, folders):
        try:
            settings = folder.settings
            if is_of_unknown_data_set(settings.scenario):
                unknown = f"the data set of {settings.scenario!r} is unknown here; {PLUGIN_HINT}"
                log(f"{folder.path}: left out, {unknown}")
            elif result := _final_result(settings, folder.summary):
                yield settings, result
        except (FileNotFoundError, ValueError) as error:
            log(f"{folder.path}: left out, its settings or its summary cannot be read ({error})")


def _final_result(settings: Settings, summary: pd.DataFrame) -> dict[str, float] | None:
    """A run's seed and mIoU after the last step; None for an unfinished run and for a user's own data."""
    words = read_words(settings.scenario)
    if DATASETS[words.dataset].is_users_own or len(summary) < len(Scenario.from_words(words).steps):
        return None
    if missing := [name for name in ("seed", "all", "all_nobg") if name not in summary]:
        raise ValueError(f"summary.csv has no column {missing[0]!r}")
    return summary.iloc[-1][["seed", "all", "all_nobg"]].to_dict()
