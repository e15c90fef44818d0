"""The finished steps of a run that may still be training: tables that belong together."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from plopkit.runs.folder import RunFolder
from plopkit.support.appending import appended_length

Version = tuple[Path, int, int]


class FinishedSteps(NamedTuple):
    """What a run's folder holds of its finished steps, read at one moment."""

    folder: RunFolder
    """The folder, of which only these steps are read, whatever the run writes meanwhile."""
    version: Version
    """Changes with every further step, and from one run to another."""
    n_steps: int
    ticks: pd.DataFrame
    summary: pd.DataFrame


def version_of(folder: RunFolder) -> Version:
    """The version of the folder's finished steps: ``results.csv`` is written last, and marks a step as finished."""
    path = folder.results_file
    try:
        return path, path.stat().st_mtime_ns, appended_length(path)
    except FileNotFoundError:
        return path, 0, 0


def read_finished(folder: RunFolder) -> FinishedSteps:
    """Read the finished steps; if one more is finished meanwhile, read again."""
    while True:
        version, n_steps = version_of(folder), folder.evaluated()
        finished = folder.first_steps(n_steps)
        tables = (finished.ticks, finished.summary) if n_steps else (pd.DataFrame(), pd.DataFrame())
        if version_of(folder) == version:
            return FinishedSteps(finished, version, n_steps, *tables)
