"""One iteration of PLOP on a ResNet-101 at 512 pixels, as `plopkit run` trains it and as published.

Each training is in a process of its own (`apart`).
"""

import tempfile
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import known
from benchmarks.apart import apart
from benchmarks.machine import convolution_rate
from benchmarks.timing import Contender, Effort, Row, interleaved
from benchmarks.trainings import (
    Start,
    published_configuration,
    published_iterations,
    published_training,
    start_of,
    ticks,
)

BARS = {"iabn": 0.70, "abn": 0.88, "own iabn": 0.95, "limit": 1.4, "bf16": 0.5}


def norms() -> tuple[str, ...]:
    """The norms that are installed."""
    return ("abn", "iabn") if find_spec("inplace_abn") else ("abn",)


def save_start(folder: Path, **configuration: Any) -> None:
    """Where all trainings begin, for `published`; `configuration` is that of `published_configuration`."""
    torch.save(vars(start_of(published_configuration(folder, **configuration))), folder / "start.pt")


def plopkit_iteration(folder: Path, norm: str, precision: str, configuration: dict[str, Any]) -> Contender:
    """An iteration as `plopkit run` trains it; returns its loss terms by name."""
    iterations = ticks(published_configuration(folder, norm, precision, **configuration))
    return lambda: next(iterations).losses


def plopkit_flop(folder: Path, configuration: dict[str, Any]) -> Contender:
    """The GFLOP of the convolutions in such an iteration."""
    return partial(convolution_gflop, plopkit_iteration(folder, "abn", "fp32", configuration))


def published_iteration(folder: Path, norm: str) -> Contender:
    """The published iteration from `save_start`'s; returns its loss terms by name."""
    start = Start(**torch.load(folder / "start.pt", weights_only=True))
    return partial(next, published_iterations(published_training(start, norm), start))


def convolution_gflop(work: Contender) -> float:
    """GFLOP of the convolutions in one iteration, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        work()
    counts = counter.get_flop_counts()["Global"]
    return sum(count for operation, count in counts.items() if "convolution" in str(operation)) / 1e9


def measure(effort: Effort) -> list[Row]:
    """The iteration against the published ones, the machine's limit and itself in bf16; quick: without inplace-abn."""
    compared = norms()[:1] if effort.quick else norms()
    with tempfile.TemporaryDirectory() as name, apart() as start:
        folder = Path(name)
        save_start(folder)
        with apart() as start_counting:  # a process that gives its memory back
            gflop = start_counting(plopkit_flop, folder / "counted", {})()
        work = {f"published {norm}": start(published_iteration, folder, norm) for norm in compared}
        for norm, precision in (("abn", "fp32"), ("abn", "bf16"), ("iabn", "fp32")):
            if norm in compared:
                arguments = (folder, norm, precision, {})
                work[f"plopkit {norm} {precision}"] = start(plopkit_iteration, *arguments)
        rates = [convolution_rate(rounds=5)]
        times = interleaved(work, effort.rounds(7, 2))
        rates.append(convolution_rate(rounds=5))
    ours, figures = times["plopkit abn fp32"], {"abn": known.ITERATION_ABN, "iabn": known.ITERATION_IABN}
    rows = []
    for norm in reversed(compared):
        name, against = "iteration, R101, 512 px, batch 2", f"published, {norm}"
        rows.append(
            Row(name, ours, times[f"published {norm}"], bar=BARS[norm], against=against, published=figures[norm])
        )
    if "plopkit iabn fp32" in times:
        pair = (times["plopkit iabn fp32"], times["published iabn"])
        rows.append(Row("iteration, norm iabn", *pair, bar=BARS["own iabn"], against="published, iabn"))
    limit = gflop / (sum(rates) / len(rates))
    rows.append(Row(f"iteration, {gflop:,.0f} GFLOP", ours, limit, bar=BARS["limit"], against="convolutions alone"))
    rows.append(Row("iteration in bf16", times["plopkit abn bf16"], ours, bar=BARS["bf16"], against="plopkit, fp32"))
    return rows
