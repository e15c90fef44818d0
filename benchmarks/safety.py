"""What it costs a run of the demo never to lose anything: digests, syncs to disk, and saved trainings.

    python -m benchmarks.safety --csv data/measured/safety.csv

Runs a method of `plopkit demo` and adds up the seconds spent in each, on the training process. A function that is
called by another of them counts once, as part of the outer one.
"""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any
from unittest import mock

import pandas as pd
import tyro

import plopkit
from plopkit.runs.saving import Saver
from plopkit.support import durable, seals
from plopkit.support.files import write_table

KINDS: dict[str, list[tuple[Any, str]]] = {
    "trainings saved": [(Saver, "save")],
    "digests": [(seals, name) for name in ("digest_of", "is_intact", "check", "write_seal", "settle")],
    "syncs": [(durable, "sync")],
}


@dataclass
class Clock:
    """Seconds by kind; of nested calls only the outermost counts."""

    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(KINDS, 0.0))
    running: bool = False

    def timed(self, function: Callable[..., Any], kind: str) -> Callable[..., Any]:
        """The function, with its time added to a kind."""

        @wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            if self.running:
                return function(*args, **kwargs)
            self.running, began = True, time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.running = False
                self.seconds[kind] += time.perf_counter() - began

        return wrapper


@contextlib.contextmanager
def clock() -> Iterator[Clock]:
    """Time the functions of `KINDS`."""
    made = Clock()
    with contextlib.ExitStack() as stack:
        for kind, functions in KINDS.items():
            for owner, name in functions:
                stack.enter_context(mock.patch.object(owner, name, made.timed(getattr(owner, name), kind)))
        yield made


def measure(method: str = "plop", preset: str = "laptop") -> pd.DataFrame:
    """A row per kind, and one for the run: seconds, and the share of the run in percent."""
    with tempfile.TemporaryDirectory() as out:
        settings = plopkit.configure("emoji 15-5 overlap", method, preset, {"out": out})
        with clock() as found:
            began = time.perf_counter()
            plopkit.run(settings)
            whole = time.perf_counter() - began
    rows = [{"what": kind, "seconds": seconds} for kind, seconds in [*found.seconds.items(), ("run", whole)]]
    table = pd.DataFrame(rows)
    return table.assign(percent=100 * table["seconds"] / whole).round(3)


def main(method: str = "plop", preset: str = "laptop", csv: Path | None = None) -> None:
    """Measure, and print a table.

    Args:
        method: method to train.
        preset: preset of the settings.
        csv: file for the table.
    """
    table = measure(method, preset)
    print(table.to_string(index=False))
    if csv:
        write_table(csv, table)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
