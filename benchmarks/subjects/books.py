"""A run's bookkeeping: a synthetic run of 51 steps, kept by plopkit and in the plain way.

The plain way writes each table and archive as a whole after every step, and all ticks of a step after every epoch.
Nothing is trained: ticks, confusion counts and predictions are drawn, and the net is one number. Both ways leave the
same tables, which is checked.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import mean
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from benchmarks.timing import Effort, Row
from plopkit.runs.books import Books, tick_rows
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import step_rows, summarise
from plopkit.scenario import Scenario, Step
from plopkit.support.files import write_arrays, write_table, write_text, write_torch

SCENARIO = Scenario.parse("ade 100-1 overlap")
NET: Any = SimpleNamespace(classes=(1,), recipe=dict, state_dict=lambda: {"weight": torch.zeros(1)})


class Size(NamedTuple):
    """How large the run is."""

    n_steps: int = 51
    n_ticks: int = 60_000
    epochs: int = 30
    """of a step"""
    examples: int = 6
    pixels: int = 512
    """of an example's side"""


FULL = Size()
QUICK = Size(n_ticks=12_000, epochs=10, pixels=128)
BAR = 1.25
SHOWN = 10
"""The first and the last ten steps are compared; only these are written in the plain way."""


def measure(effort: Effort) -> list[Row]:
    """The cost of a late step against that of an early one, and against the plain way's."""
    size = QUICK if effort.quick else FULL
    with tempfile.TemporaryDirectory() as out:
        ours, reference = (RunFolder(Path(out) / name) for name in ("ours", "reference"))
        seconds = kept(ours, grown(ours, size), range(size.n_steps), size)
        shown = [*range(SHOWN), *range(size.n_steps - SHOWN - 1, size.n_steps)]  # the first of the last fills the gap
        plain = kept(reference, rewritten(reference, size), shown, size)
        if tables(ours) != tables(reference):
            raise AssertionError("the two ways leave different tables")
    first, last = range(SHOWN), range(size.n_steps - SHOWN, size.n_steps)
    early, late, late_plain = (
        mean(of[i] for i in steps) for of, steps in ((seconds, first), (seconds, last), (plain, last))
    )
    name = f"books, last {SHOWN} of {size.n_steps} steps"
    return [
        Row(name, late, early, bar=BAR, against=f"first {SHOWN} steps"),
        Row(name, late, late_plain, against="written as a whole"),
    ]


def kept(folder: RunFolder, keep: "Callable[[Drawn], None]", steps: Iterable[int], size: Size) -> dict[int, float]:
    """Seconds by step."""
    seconds = {}
    for index in steps:
        drawn = Drawn.of(SCENARIO.steps[index], size)
        began = time.perf_counter()
        keep(drawn)
        seconds[index] = time.perf_counter() - began
    return seconds


def tables(folder: RunFolder) -> list[bytes]:
    """The content of the tables that a run keeps."""
    return [path.read_bytes() for path in (folder.ticks_file, folder.summary_file, folder.results_file)]


class Drawn(NamedTuple):
    """What a step of the synthetic run has to write."""

    step: Step
    epochs: list[list[dict[str, Any]]]
    """ticks of each epoch"""
    rows: pd.DataFrame
    predictions: np.ndarray

    @property
    def ticks(self) -> list[dict[str, Any]]:
        """Those of all epochs."""
        return [tick for epoch in self.epochs for tick in epoch]

    @classmethod
    def of(cls, step: Step, size: Size) -> "Drawn":
        """Drawn from the step's index."""
        rng = np.random.default_rng(step.index)
        n = size.n_ticks // size.n_steps
        about = {"step": step.index, "epochs": size.epochs, "n_iterations": n}
        losses = rng.random((n, 2)).tolist()
        ticks = [
            about
            | {"epoch": i * size.epochs // n, "iteration": i, "losses": {"ce": ce, "pod": pod}}
            | {"lr": 1e-3 * (1 - i / n) ** 0.9, "seconds": 0.5, "epoch_done": False}
            for i, (ce, pod) in enumerate(losses)
        ]
        epochs = [[tick for tick in ticks if tick["epoch"] == epoch] for epoch in range(size.epochs)]
        counts = rng.integers(0, 1000, (step.n_seen, step.n_seen))
        rows = step_rows(SCENARIO, "plop", 0, step, counts, [f"class {label}" for label in range(151)])
        blocks = rng.integers(0, step.n_seen, (size.examples, size.pixels // 16, size.pixels // 16))
        return cls(step, epochs, rows, blocks.repeat(16, 1).repeat(16, 2))


def grown(folder: RunFolder, size: Size) -> Callable[[Drawn], None]:
    """The run as plopkit keeps it."""
    books = Books(folder, lambda index: StepStore(folder.checkpoints, index).ticks())

    def keep(drawn: Drawn) -> None:
        store = StepStore(folder.checkpoints, drawn.step.index)
        for epoch, ticks in enumerate(drawn.epochs):
            store.save_epoch({"epoch": epoch + 1}, ticks)
        store.finish(NET, drawn.ticks, {})
        write_arrays(folder.predictions_file(drawn.step.index), predictions=drawn.predictions)
        books.add(drawn.step.index, drawn.rows, drawn.step.index == size.n_steps - 1)

    return keep


def rewritten(folder: RunFolder, size: Size) -> Callable[[Drawn], None]:
    """The run with everything written as a whole; steps that are left out are made up for by the next one."""

    def fill_in(index: int) -> None:
        """The files of the step before, where it was left out."""
        earlier = [Drawn.of(step, size) for step in SCENARIO.steps[:index]]
        for drawn in earlier:
            write_text(ticks_file(drawn.step.index), json.dumps(drawn.ticks))
        write_arrays(folder.examples_file, predictions=np.stack([drawn.predictions for drawn in earlier]))
        write_table(folder.results_file, pd.concat([drawn.rows for drawn in earlier], ignore_index=True))

    def ticks_file(index: int) -> Path:
        return StepStore(folder.checkpoints, index).ticks_file

    def keep(drawn: Drawn) -> None:
        index, done = drawn.step.index, []
        if index and not ticks_file(index - 1).is_file():
            fill_in(index)
        for epoch, ticks in enumerate(drawn.epochs):
            done += ticks
            write_torch(
                StepStore(folder.checkpoints, index).training.earlier_state_file,
                {"training": {"epoch": epoch}, "ticks": done},
            )
        write_text(ticks_file(index), json.dumps(drawn.ticks))
        predictions = drawn.predictions[None]
        rows = drawn.rows
        if index:
            predictions = np.concatenate([folder.examples["predictions"][:index], predictions])
            rows = pd.concat([folder.results, rows], ignore_index=True)
        write_arrays(folder.examples_file, predictions=predictions)
        files = map(ticks_file, range(index + 1))
        write_table(folder.ticks_file, tick_rows([tick for file in files for tick in json.loads(file.read_text())]))
        write_table(folder.summary_file, summarise(rows))
        write_table(folder.results_file, rows)

    return keep
