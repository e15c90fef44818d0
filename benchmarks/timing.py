"""Timing side by side: named contenders take turns in one process, and what counts is the ratio of their medians."""

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

Contender = Callable[[], Any]
"""Does the work once; what it returns is compared by the tests, not by the clock."""


@dataclass(frozen=True)
class Effort:
    """How thoroughly to measure."""

    quick: bool = False
    device: str = "cpu"

    def rounds(self, full: int, quick: int) -> int:
        """The number of rounds."""
        return quick if self.quick else full


@dataclass(frozen=True)
class Row:
    """A line of the table: two times, or two sizes, measured in turns in one run."""

    subject: str
    ours: float
    reference: float
    unit: str = "s"
    bar: float | None = None
    """the largest acceptable ratio, or, where `absolute`, the largest acceptable value of ours"""
    absolute: bool = False
    against: str = "reference"
    """what the reference is"""
    published: float | None = None
    """what the published code itself took in place of the reference, on `known.MACHINE`"""

    @property
    def ratio(self) -> float:
        """Ours over the reference."""
        return self.ours / self.reference

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without one."""
        return None if self.bar is None else (self.ours if self.absolute else self.ratio) <= self.bar


@contextmanager
def one_thread() -> Iterator[None]:
    """What is measured with one thread, as a worker that loads images has."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def interleaved(
    contenders: Mapping[str, Contender], rounds: int, warmup: int = 1, at_least: float = 0.01, device: str = "cpu"
) -> dict[str, float]:
    """The median seconds of each contender, over rounds in which all take turns.

    Args:
        contenders: by name.
        rounds: number of measurements of each.
        warmup: rounds before those, which do not count.
        at_least: a contender that is faster than these seconds is repeated until a measurement takes as long.
        device: "cuda" waits for the GPU before and after.
    """
    repeats = {name: _repeats(work, warmup, at_least, device) for name, work in contenders.items()}
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, work in contenders.items():
            gc.collect()
            seconds[name].append(timed(work, repeats[name], device))
    return {name: median(values) for name, values in seconds.items()}


def timed(work: Contender, repeats: int = 1, device: str = "cpu") -> float:
    """Seconds per call."""
    wait(device)
    began = time.perf_counter()
    for _ in range(repeats):
        work()
    wait(device)
    return (time.perf_counter() - began) / repeats


def wait(device: str) -> None:
    """Wait until the device has done all its work."""
    if device == "cuda":
        torch.cuda.synchronize()


def _repeats(work: Contender, warmup: int, at_least: float, device: str) -> int:
    last = 0.0
    for _ in range(max(warmup, 1)):
        last = timed(work, 1, device)
    return max(1, round(at_least / max(last, 1e-7)))
