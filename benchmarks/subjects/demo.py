"""An iteration of the demo: preset `laptop`, against the same net trained plainly, channels first."""

import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.timing import Contender, Effort, Row, interleaved
from benchmarks.trainings import plain_demo, settings_of, ticks

BEFORE = 1.0
"""The ratio of plopkit 0.2.0 as of commit 7456e9d, measured by this module on two AMD Zen 5 cores."""
BAR = 0.6 * BEFORE


def contenders(out: Path, **overrides: Any) -> dict[str, Contender]:
    """An iteration each; a contender returns its loss terms by name."""
    settings = settings_of(out, "laptop", data__scenes=400, data__val_scenes=40, **overrides)
    ours = ticks(settings)
    return {"ours": lambda: next(ours).losses, "reference": partial(next, plain_demo(settings))}


def measure(effort: Effort) -> list[Row]:
    """One row."""
    with tempfile.TemporaryDirectory() as folder:
        times = interleaved(contenders(Path(folder)), effort.rounds(60, 20), warmup=4)
    return [Row("iteration of the demo", times["ours"], times["reference"], bar=BAR, against="the same net, plainly")]
