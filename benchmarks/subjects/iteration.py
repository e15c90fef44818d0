"""One iteration of PLOP on a ResNet-101 at 512 pixels, as `plopkit run` trains it and as published."""

import tempfile
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from torch.utils.flop_counter import FlopCounterMode

from benchmarks import known
from benchmarks.machine import convolution_rate
from benchmarks.timing import Contender, Effort, Row, interleaved
from benchmarks.trainings import published_configuration, published_iterations, published_training, start_of, ticks
from plopkit.trainer import Tick

BARS = {"iabn": 0.70, "abn": 0.88, "own iabn": 0.95, "limit": 1.4, "bf16": 0.5}


def norms() -> tuple[str, ...]:
    """The norms that are installed."""
    return ("abn", "iabn") if find_spec("inplace_abn") else ("abn",)


def contenders(out: Path, size: int = 512, batch: int = 2, encoder: str = "resnet101") -> dict[str, Contender]:
    """An iteration each in fp32, from the same start: ours and the published one with each norm, and ours in bf16.

    Each returns its loss terms by name.
    """
    settings = partial(published_configuration, out, size=size, batch=batch, encoder=encoder)
    start = start_of(settings())
    work: dict[str, Contender] = {}
    for norm in norms():
        work[f"plopkit {norm}"] = partial(_losses, ticks(settings(norm)))
        work[f"published {norm}"] = partial(next, published_iterations(published_training(start, norm), start))
    work["plopkit bf16"] = _bf16(settings(precision="bf16"))
    return work


def _bf16(settings) -> Contender:  # type: ignore[no-untyped-def]
    """Begins when first called: Accelerate keeps one precision per process, which the fp32 trainings hold by then."""
    begun: list[Iterator[Tick]] = []

    def iterate() -> dict[str, float]:
        if not begun:
            begun.append(ticks(settings))
        return _losses(begun[0])

    return iterate


def _losses(iterations: Iterator[Tick]) -> dict[str, float]:
    return next(iterations).losses


def convolution_gflop(work: Contender) -> float:
    """GFLOP of the convolutions in one iteration, forward and backward."""
    with FlopCounterMode(display=False) as counter:
        work()
    counts = counter.get_flop_counts()["Global"]
    return sum(count for operation, count in counts.items() if "convolution" in str(operation)) / 1e9


def measure(effort: Effort) -> list[Row]:
    """The iteration against the published ones, against the machine's limit, and in bf16."""
    with tempfile.TemporaryDirectory() as folder:
        work = contenders(Path(folder))
        gflop = convolution_gflop(work["plopkit abn"])
        if effort.quick:
            work = {name: item for name, item in work.items() if name != "plopkit iabn"}
        rates = [convolution_rate(rounds=5)]
        times = interleaved(work, effort.rounds(7, 2))
        rates.append(convolution_rate(rounds=5))
    ours, figures = times["plopkit abn"], {"abn": known.ITERATION_ABN, "iabn": known.ITERATION_IABN}
    rows = []
    for norm in reversed(norms()):
        name, against = "iteration, R101, 512 px, batch 2", f"published, {norm}"
        rows.append(
            Row(name, ours, times[f"published {norm}"], bar=BARS[norm], against=against, published=figures[norm])
        )
    if "plopkit iabn" in times:
        pair = (times["plopkit iabn"], times["published iabn"])
        rows.append(Row("iteration, norm iabn", *pair, bar=BARS["own iabn"], against="published, iabn"))
    limit = gflop / (sum(rates) / len(rates))
    rows.append(Row(f"iteration, {gflop:,.0f} GFLOP", ours, limit, bar=BARS["limit"], against="convolutions alone"))
    rows.append(Row("iteration in bf16", times["plopkit bf16"], ours, bar=BARS["bf16"], against="plopkit, fp32"))
    return rows
