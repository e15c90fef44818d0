"""How fast is plopkit, next to the published code's arithmetic written plainly?

python -m benchmarks                         # all subjects, one table; an idle machine, about twenty minutes
python -m benchmarks --quick                 # fewer rounds, two minutes
python -m benchmarks --only pod remap        # some subjects
python -m benchmarks --device cuda           # batch 24 in half precision
"""

import importlib
import sys
from pathlib import Path
from typing import Literal

import tyro

from benchmarks import picture, profiling, table
from benchmarks.machine import environment
from benchmarks.timing import Effort, Row

SUBJECTS = ("remap", "pseudo", "losses", "pod", "loader", "scan", "books", "demo", "iteration", "memory")
QUICK = ("remap", "pseudo", "losses", "pod", "loader", "iteration")
"""In two minutes."""
ON_GPU = ("pseudo", "losses", "pod", "gpu")
MODULES = {"gpu": "benchmarks.gpu"}

Name = Literal["remap", "pseudo", "losses", "pod", "loader", "scan", "books", "demo", "iteration", "memory", "gpu"]


def main(
    quick: bool = False,
    device: Literal["cpu", "cuda"] = "cpu",
    only: tuple[Name, ...] = (),
    profile: bool = True,
    json: Path | None = None,
    before: Path | None = None,
    png: Path | None = None,
) -> None:
    """Measure, and print one table.

    Args:
        quick: fewer rounds and subjects, in two minutes.
        device: "cuda" measures batches of 24 in half precision.
        only: subjects to measure; none for all.
        profile: also measure where an iteration's time goes, unless `only` is given.
        json: file for the results.
        before: earlier results, to draw next to these.
        png: picture of where an iteration's time goes.
    """
    effort = Effort(quick, device)
    if png and not json:
        json = png.with_suffix(".json")
    chosen = only or (ON_GPU if device == "cuda" else QUICK if quick else SUBJECTS)
    about = environment(device)  # first: its load is that of the machine without this program
    rows: list[Row] = []
    for name in chosen:
        print(f"measuring {name} …", file=sys.stderr, flush=True)
        rows += importlib.import_module(MODULES.get(name, f"benchmarks.subjects.{name}")).measure(effort)
        if json:  # what is measured is kept if a later subject fails
            table.write(json, rows, about, {}, quick)
    seconds: dict[str, float] = {}
    if png or (profile and not only and not quick):
        print("measuring where an iteration's time goes …", file=sys.stderr, flush=True)
        seconds = profiling.measure(effort)
    print(table.as_text(rows, about))
    for kind, value in seconds.items():
        print(f"  {kind:26} {table.quantity(value, 's'):>8}  {value / sum(seconds.values()):.0%}")
    if json:
        table.write(json, rows, about, seconds, quick)
        print(json)
    if png and json:
        picture.draw_files(json, before, png)
        print(png)


if __name__ == "__main__":
    tyro.cli(main, description=__doc__)
