"""Opening 12,000 pairs of photographs and masks: the first time, when every mask is read, and later, from the cache."""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.files import write_data_set
from benchmarks.references import data as plain
from benchmarks.timing import Effort, Row
from plopkit.datasets import open_split
from plopkit.datasets.counts import presence
from plopkit.settings import Data

BARS = {"cold": 5.0, "cached": 0.2}
PAIRS = 12_000
SAMPLE = 400
"""Pairs that the reference reads; its time grows in a line."""


def ours(root: Path) -> np.ndarray:
    """Which labels each training image has, (N, 256) bool, as a run finds out."""
    return presence(open_split("folder", "train", Data(root=root)))


def reference(root: Path, count: int | None = None) -> np.ndarray:
    """The same, one pair after the other."""
    stems = (root / "train.txt").read_text(encoding="utf-8").split()[:count]
    table = np.zeros((len(stems), 256), bool)
    for row, stem in zip(table, stems, strict=True):
        row[list(plain.labels_of(root / "images" / f"{stem}.jpg", root / "masks" / f"{stem}.png"))] = True
    return table


@contextmanager
def empty_cache(folder: Path) -> Iterator[None]:
    """plopkit's cache in this folder."""
    before = os.environ.get("PLOPKIT_CACHE")
    os.environ["PLOPKIT_CACHE"] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ["PLOPKIT_CACHE"]
        else:
            os.environ["PLOPKIT_CACHE"] = before


def measure(effort: Effort) -> list[Row]:
    """Two rows, whose bars are seconds."""
    seconds: dict[str, list[float]] = {"cold": [], "cached": [], "reference": []}
    with tempfile.TemporaryDirectory() as name:
        root = write_data_set(Path(name) / "data", train=PAIRS, val=1)
        for round_ in range(effort.rounds(3, 1)):
            with empty_cache(Path(name) / f"cache{round_}"):
                for kind in ("cold", "cached"):
                    began = time.perf_counter()
                    ours(root)
                    seconds[kind].append(time.perf_counter() - began)
            began = time.perf_counter()
            reference(root, SAMPLE)
            seconds["reference"].append((time.perf_counter() - began) * PAIRS / SAMPLE)
    medians = {kind: float(np.median(values)) for kind, values in seconds.items()}
    plain_seconds = medians["reference"]
    return [
        Row(f"{PAIRS:,} pairs, {kind}", medians[kind], plain_seconds, bar=BARS[kind], absolute=True) for kind in BARS
    ]
