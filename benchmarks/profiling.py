"""Where an iteration's time goes: torch's profiler, its operations sorted into a few kinds of work."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

from torch.profiler import ProfilerActivity, profile, record_function

from benchmarks.timing import Effort, wait
from benchmarks.trainings import published_configuration, ticks
from plopkit.methods import PLOP
from plopkit.model.abn import ABN

PREFIX = "kind: "
KINDS = ("convolutions", "norms and activation", "POD", "losses and pseudo-labels", "optimiser", "memory and other")
NAMES = {
    "convolutions": ("convolution", "conv2d", "gemm"),
    "norms and activation": ("batch_norm", "leaky_relu", "inplace_abn", "InPlaceABN"),
    "losses and pseudo-labels": ("upsample", "nll_loss", "log_softmax", "matmul", "mmBackward", "MmBackward"),
    "optimiser": ("Optimizer.step", "_foreach_"),
}
"""Parts of the operations' names, for what has no mark."""


def marked(function: Callable[..., Any], kind: str) -> Callable[..., Any]:
    """The function, with its work marked as of this kind."""

    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with record_function(PREFIX + kind):
            return function(*args, **kwargs)

    return wrapper


@contextlib.contextmanager
def marks() -> Iterator[None]:
    """Mark POD, losses and norms of plopkit; the innermost mark counts."""
    with contextlib.ExitStack() as stack:
        for owner, name, kind in (
            (PLOP, "losses", "losses and pseudo-labels"),
            (PLOP, "pod_loss", "POD"),
            (ABN, "forward", "norms and activation"),
        ):
            stack.enter_context(mock.patch.object(owner, name, marked(getattr(owner, name), kind)))
        yield


def seconds_by_kind(work: Callable[[], Any], device: str = "cpu") -> dict[str, float]:
    """Seconds of one call by kind of work; a backward operation counts as its forward one does.

    On a GPU they are those of its kernels, and what is left of the wall time is in the last kind.
    """
    activities = [ProfilerActivity.CPU] + [ProfilerActivity.CUDA] * (device == "cuda")
    with marks(), profile(activities=activities) as profiler:
        wait(device)
        began = time.perf_counter()
        work()
        wait(device)
        wall = time.perf_counter() - began
    events = [event for event in profiler.events() or [] if event.device_type.name == "CPU"]
    forward = {event.sequence_nr: kind for event in events if event.sequence_nr >= 0 and (kind := _mark(event))}
    seconds = dict.fromkeys(KINDS, 0.0)
    for event in events:
        time_us = event.self_device_time_total if device == "cuda" else event.self_cpu_time_total
        seconds[_kind(event, forward)] += time_us / 1e6
    seconds[KINDS[-1]] += max(wall - sum(seconds.values()), 0.0)
    return seconds


def _above(event: Any) -> Iterator[Any]:
    while event is not None:
        yield event
        event = event.cpu_parent


def _mark(event: Any) -> str | None:
    names = (above.name for above in _above(event))
    return next((name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)), None)


def _kind(event: Any, forward: dict[int, str]) -> str:
    for above in _above(event):  # a convolution is one wherever it is called
        for kind, parts in NAMES.items():
            if any(part in above.name for part in parts):
                return kind
        if above.name.startswith(PREFIX):
            return above.name.removeprefix(PREFIX)
        if above.sequence_nr in forward and "evaluate_function" in above.name:
            return forward[above.sequence_nr]
    return KINDS[-1]


def measure(effort: Effort, **configuration: Any) -> dict[str, float]:
    """Seconds of plopkit's iteration by kind of work; `configuration` is that of `published_configuration`."""
    with tempfile.TemporaryDirectory() as folder:
        chosen: dict[str, Any] = {"device": effort.device}
        if effort.device == "cuda":
            chosen |= {"batch": 24, "precision": "bf16"}
        iterations = ticks(published_configuration(Path(folder), **chosen | configuration))
        next(iterations)
        return seconds_by_kind(lambda: next(iterations), effort.device)
