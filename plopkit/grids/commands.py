"""What `plopkit grid` makes of its words, and what it prints."""

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from plopkit.catalogue import DATASETS
from plopkit.config import not_replaced
from plopkit.grammar import read_words
from plopkit.grids.grid import TABLE, GridResult, run_grid
from plopkit.grids.plan import PlannedRun, plan, values_of
from plopkit.grids.slurm import options_of
from plopkit.grids.state import entries_of
from plopkit.grids.summary import summary
from plopkit.grids.table import state_of


def planned(
    scenarios: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
    preset: str,
    words: Sequence[str],
    out: Path,
    force: bool = False,
    recipe: str = "own",
    settings: Mapping[str, Any] = MappingProxyType({}),
) -> list[PlannedRun]:
    """The runs, all of them checked; `words` are those of `--set`, which override `settings`, those of all runs."""
    chosen: dict[str, list[object]] = {}
    for word in words:
        name, values = values_of(word)
        chosen.setdefault(name, []).extend(values)
    choices = {name: [value] for name, value in not_replaced(settings, chosen).items()} | chosen
    return plan(scenarios, methods, seeds, preset, choices, out, force, recipe)


def run(runs: Sequence[PlannedRun], workers: int | None, slurm: Sequence[str] | None, progress: bool) -> GridResult:
    """Do what is left of the runs; `slurm` are the words of `--slurm`."""
    return run_grid(runs, workers, None if slurm is None else options_of(slurm), progress)


def dry_run(runs: Sequence[PlannedRun]) -> Iterator[str]:
    """Each run's command, in the order in which they start, with its state as a comment."""
    for entry in entries_of(runs):
        yield f"{shlex.join(['plopkit', *entry.run.words])}  # {state_of(entry)}"


def results(result: GridResult) -> Iterator[str]:
    """The table of the finished runs, and where it is."""
    if not result.finished:
        return
    yield summary(result.results)
    datasets = {read_words(folder.settings.scenario).dataset for folder in result.finished}
    yield from sorted(credit for name in datasets if (credit := DATASETS[name].credit))
    out = result.finished[0].settings.out
    yield f"\nthe runs are in {out}, the table in {out / TABLE}"


def failures(result: GridResult) -> Iterator[str]:
    """The runs that failed, each with its message and its log."""
    n_runs = len(result.failed) + len(result.finished)
    yield f"\n{len(result.failed)} of {n_runs} runs failed; the same command starts them again"
    yield from result.failed.values()
