"""`plopkit.grid`: many runs, each checked before the first one starts, then run as processes here or on a cluster."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from plopkit.grids.local import gpus, run_locally
from plopkit.grids.plan import Choices, PlannedRun, plan
from plopkit.grids.slurm import run_on_slurm
from plopkit.grids.state import Entry, entries_of
from plopkit.grids.summary import table_of
from plopkit.grids.table import Live
from plopkit.runs.folder import RunFolder
from plopkit.runs.opening import check_room
from plopkit.runs.results import load_results
from plopkit.support.files import write_table
from plopkit.support.signals import terminating

TABLE = "grid.csv"
"""`table_of` the last grid's results, below `Settings.out`."""


class GridResult(NamedTuple):
    """What has become of the runs of a grid."""

    finished: list[RunFolder]
    failed: dict[Path, str]
    """by the run's folder: what it was, why it failed, and the file with all that it has printed"""

    @property
    def results(self) -> pd.DataFrame:
        """The rows of all finished runs, as `load_results` has them."""
        return load_results(*(folder.path for folder in self.finished))


def grid(
    scenarios: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int] = (0,),
    preset: str = "laptop",
    settings: Choices | None = None,
    out: Path | str = "runs",
    workers: int | None = None,
    slurm: Mapping[str, str] | None = None,
    progress: bool = True,
    force: bool = False,
    recipe: str = "own",
) -> GridResult:
    """Train all combinations of scenarios, methods, seeds and settings that are not finished yet.

    All are checked first. Each run is a process `plopkit run …`. One that is killed is started again and goes on where
    it was saved; one that fails is left, and the others go on. The table of the finished runs is written to
    `grid.csv`. The processes know the methods and data sets of installed packages and of `load_plugin`.

    Args:
        scenarios: scenarios; `emoji 15-1 overlap order=random:0..9` stands for ten class orders drawn at random.
        methods: names in `plopkit.METHODS`.
        seeds: random seeds.
        preset: a name in `plopkit.PRESETS`.
        settings: the values of each dotted setting to choose from, such as `{"optim.lr": [0.01, 0.02]}`.
        out: folder for the run folders.
        workers: number of processes at once; None for one per GPU, or a single one without GPUs. On Slurm, None is
            as many as it likes.
        slurm: options of sbatch, such as `{"partition": "gpu", "time": "04:00:00", "gpus": "1"}`; None runs here.
        progress: show the table of runs on stderr.
        force: go on with what is there, whatever made it; see `plopkit.run`.
        recipe: "own", or "common" for all methods; see `plopkit.configure`.

    Raises:
        ValueError: a combination is not possible; nothing has been started.
        FileNotFoundError: data are missing; nothing has been started.
        OSError: `out` cannot be written; nothing has been started.

    Example:
        >>> result = grid(["emoji 15-5 overlap"], ["plop", "mib"], seeds=[0, 1, 2], workers=2)
        >>> print(compare(result.results))
    """
    runs = plan(scenarios, methods, seeds, preset, settings or {}, out, force, recipe)
    return run_grid(runs, workers, slurm, progress)


def run_grid(
    runs: Sequence[PlannedRun],
    workers: int | None = None,
    slurm: Mapping[str, str] | None = None,
    progress: bool = True,
) -> GridResult:
    """Do all that is left of planned runs; see `grid`."""
    if workers is not None and workers < 1:
        raise ValueError(f"workers {workers}: at least one is needed")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ValueError("a grid starts its processes itself; start it without torchrun or accelerate launch")
    check_room(runs[0].settings, 0)
    entries = entries_of(runs)
    live = Live(entries, progress)
    with terminating():
        if slurm is None:
            run_locally(entries, workers or max(1, len(gpus())), live)
        else:
            run_on_slurm(entries, slurm, workers, live)
    result = GridResult(
        [entry.run.folder for entry in entries if entry.state == "finished"],
        {entry.run.folder.path: failure(entry) for entry in entries if entry.state == "failed"},
    )
    if result.finished:
        write_table(runs[0].settings.out / TABLE, table_of(result.results))
    return result


def failure(entry: Entry) -> str:
    """A failed run, in words."""
    return f"{entry.run}: {entry.message}\n  log: {entry.log}"
