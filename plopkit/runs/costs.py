"""What runs have cost: the seconds of their training, and the megabytes that each step hands on to the next."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd

from plopkit.runs.tables import KEYS, read_table
from plopkit.support.bars import log
from plopkit.support.torch_files import read_one

T = TypeVar("T")

COSTS = ["later_seconds", "stored_mb"]
"""The columns that `plopkit.runs.results.compare` shows."""

LEGEND = (
    "later_seconds: training of all steps after step 0 so far, without evaluation;",
    "stored_mb: megabytes that the step hands on: network, state of the method, images and masks of a memory;",
    "both are means over the seeds, and - where one of them is not known.",
)
"""What they mean in printed tables."""

STATES = ("state", "memory")
"""How files of a method's state are named, `step-1.state.safetensors`; in plopkit 0.1 the second."""

MEMORY = "memory/images"
"""Name of the memory in a state: `plopkit.datasets.kept.KEY`, which would load torch."""


def costs(results: pd.DataFrame) -> pd.DataFrame:
    """What each step of each run has cost, as far as its folder says.

    Args:
        results: rows of `plopkit.load_results`.

    Returns:
        A row per run and step: scenario, method, seed and step; `seconds`, those of the step's training without
        evaluation; `later_seconds`, the same of all steps after step 0 so far; `stored_mb`, the megabytes of the
        network, of the method's state, and of the images and masks of a memory that the step hands on. Missing where
        the folder has no ticks or checkpoints, as where only tables have been copied.

    Example:
        >>> costs(load_results("runs"))[["method", "step", "seconds", "stored_mb"]]
    """
    tables = []
    for keys, rows in results.groupby(KEYS, sort=False):
        table = pd.DataFrame({"step": sorted(rows["step"].unique())})
        for name, value in zip(KEYS, keys, strict=True):
            table[name] = value
        folder = Path(rows["run"].iloc[0]) if "run" in rows else None
        table["seconds"] = np.nan if folder is None else _seconds(folder, table["step"])
        table["later_seconds"] = (table["seconds"] * (table["step"] > 0)).cumsum(skipna=False)
        table["stored_mb"] = [np.nan if folder is None else stored_mb(folder, step) for step in table["step"]]
        tables.append(table)
    names = [*KEYS, "step", "seconds", *COSTS]
    return pd.concat(tables, ignore_index=True)[names] if tables else pd.DataFrame(columns=names)


def stored_mb(run: Path, step: int) -> float:
    """The megabytes that a step hands on; missing without a checkpoint.

    Args:
        run: the run's folder.
        step: the step.
    """
    checkpoint = run / "checkpoints" / f"step-{step}.safetensors"
    if not checkpoint.is_file():
        return np.nan
    size = checkpoint.stat().st_size
    for kind in STATES:
        state = checkpoint.with_name(f"step-{step}.{kind}.safetensors")
        if state.is_file():
            memory = _read(state, _bytes_of_memory)
            if memory is None:
                return np.nan
            size += state.stat().st_size + memory
    return size / 1e6


def _bytes_of_memory(state: Path) -> int:
    """The bytes of the images and masks of a state's memory; 0 without one."""
    content = read_one(state, MEMORY) or b"[]"
    try:
        return sum(int(image["size"]) for image in json.loads(content))
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:  # the last: a million brackets
        raise ValueError("damaged: its memory is no list of images with their sizes") from error


def _seconds(run: Path, steps: pd.Series) -> pd.Series | float:
    """The seconds of each step's training; 0 where a step was given, and missing without ticks."""
    ticks = _read(run / "ticks.csv", partial(read_table, counted="iteration"))
    if ticks is None or "seconds" not in ticks:
        return np.nan
    return steps.map(ticks.groupby("step")["seconds"].sum()).fillna(0.0)


def _read(path: Path, read: Callable[[Path], T]) -> T | None:
    """What is read of a file; None where it is missing, and, with a line on stderr, where it is damaged."""
    if not path.is_file():
        return None
    try:
        return read(path)
    except (ValueError, OSError) as error:
        text = str(error)
        log(f"{text if str(path) in text else f'{path}: {text}'}; what the run has cost is left out")
        return None
