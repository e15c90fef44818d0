"""An iteration of the demo: preset `laptop`, against the same net trained plainly, channels first."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.apart import apart
from benchmarks.timing import Contender, Effort, Row, interleaved
from benchmarks.trainings import plain_demo, settings_of, ticks
from plopkit.settings import Settings

BEFORE = 0.73
"""The same ratio for plopkit as of commit 7456e9d: medians of 20 iterations each, processor time with one thread (0.212
and 0.291 s on AMD Zen 5)."""
BAR = 0.6 * BEFORE


def plopkit_iteration(out: Path, overrides: dict[str, Any]) -> Contender:
    """An iteration as `plopkit run` trains it; returns its loss terms by name."""
    iterations = ticks(_settings(out, overrides))
    return lambda: next(iterations).losses


def plain_iteration(out: Path, overrides: dict[str, Any]) -> Contender:
    """The plain iteration; returns its loss terms by name."""
    return partial(next, plain_demo(_settings(out, overrides)))


def _settings(out: Path, overrides: dict[str, Any]) -> Settings:
    return settings_of(out, "laptop", data__scenes=400, data__val_scenes=40, **overrides)


def measure(effort: Effort) -> list[Row]:
    """One row."""
    with tempfile.TemporaryDirectory() as folder, apart() as start:
        work = {"ours": start(plopkit_iteration, Path(folder) / "ours", {})}
        work["reference"] = start(plain_iteration, Path(folder) / "plain", {})
        times = interleaved(work, effort.rounds(60, 20), warmup=4)
    return [Row("iteration of the demo", times["ours"], times["reference"], bar=BAR, against="the same net, plainly")]
