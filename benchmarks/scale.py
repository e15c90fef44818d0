"""How time and memory grow: with pixels, classes, steps, images, workers and processes. Made for docs/scale.md.

python -m benchmarks.scale --csv data/measured/scale.csv --png docs/scale.png
python -m benchmarks.scale --quick --only classes images
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np
import pandas as pd
import tyro
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from benchmarks.files import write_data_set
from benchmarks.subjects import books, losses, memory, pseudo
from benchmarks.timing import interleaved
from benchmarks.trainings import published_configuration, settings_of, ticks
from plopkit.datasets import open_split
from plopkit.datasets.counts import presence
from plopkit.datasets.steps import EpochSampler, Selection, StepDataset, train_loader
from plopkit.datasets.transforms import train_transform
from plopkit.pseudo import median_thresholds, pseudo_label, released_thresholds
from plopkit.runs.folder import RunFolder
from plopkit.scenario import Scenario
from plopkit.settings import Data
from plopkit.support.files import write_table
from plopkit.viz.colours import SERIES
from plopkit.viz.figures import titled
from plopkit.viz.png import save

Axis = Literal["pixels", "classes", "steps", "images", "workers", "processes"]
AXES: tuple[Axis, ...] = ("pixels", "classes", "steps", "images", "workers", "processes")
LEAST = 0.01
"""GiB; a process's memory changes by less than this without reason."""
X_LABELS = {
    "pixels": "side of the crop in pixels (ResNet-101, batch 2)",
    "classes": "classes (512 pixels, batch 2)",
    "steps": "steps of a run, 1000 iterations each",
    "images": "images in the index",
    "workers": "worker processes",
    "processes": "training processes (preset laptop)",
}


@dataclass(frozen=True)
class Point:
    """A measurement."""

    axis: str
    value: int
    quantity: str
    unit: str
    amount: float


def pixels(quick: bool) -> Iterator[Point]:
    """Seconds and peak memory of an iteration."""
    for size in (128, 256) if quick else (128, 192, 256, 384, 512, 768):
        found = child("iteration", size=size)
        yield Point("pixels", size, "iteration", "s", found["seconds"])
        yield Point("pixels", size, "peak", "GiB", found["peak"])


def classes(quick: bool) -> Iterator[Point]:
    """Seconds and additional peak memory of what works on logits at the images' size."""
    size = 128 if quick else 512
    for n_seen in (21, 151, 1000):
        for quantity in ("cross-entropy", "pseudo-label", "thresholds", "median thresholds"):
            found = child("logits", quantity=quantity, n_seen=n_seen, size=size)
            yield Point("classes", n_seen, quantity, "s", found["seconds"])
            yield Point("classes", n_seen, quantity, "GiB", found["peak"])


def steps(quick: bool) -> Iterator[Point]:
    """Seconds of a run's bookkeeping, all its steps together."""
    for count in (3, 6) if quick else (6, 11, 26, 51):
        size = books.QUICK._replace(n_steps=count, n_ticks=1000 * count)
        with tempfile.TemporaryDirectory() as name:
            folder = RunFolder(Path(name))
            seconds = books.kept(folder, books.grown(folder, size), range(count), size)
        yield Point("steps", count, "bookkeeping", "s", sum(seconds.values()))


def images(quick: bool) -> Iterator[Point]:
    """Seconds to choose a step's images from an index, and to draw an epoch's order."""
    step = Scenario.parse("voc 15-5 overlap").steps[1]
    for count in (10**3, 10**4) if quick else (10**3, 10**4, 10**5, 10**6):
        rng = np.random.default_rng(0)
        table = np.zeros((count, 256), bool)
        table[:, 0] = True
        table[np.arange(count), rng.integers(1, 21, count)] = True
        work: dict[str, Callable[[], Any]] = {
            "selection": lambda table=table: Selection.protocol(step, table),
            "an epoch's order": lambda count=count: sum(1 for _ in EpochSampler(count, 0, 24)),
        }
        for quantity, seconds in interleaved(work, 3).items():
            yield Point("images", count, quantity, "s", seconds)
        yield Point("images", count, "index", "GiB", table.nbytes / 2**30)


def workers(quick: bool) -> Iterator[Point]:
    """Images per second of the training loader, from photographs."""
    with tempfile.TemporaryDirectory() as folder:
        root = write_data_set(Path(folder), train=48 if quick else 480, val=1)
        source = open_split("folder", "train", Data(root=root))
        step = Scenario.parse("voc 15-5 overlap").steps[1]
        dataset = StepDataset(source, Selection.protocol(step, presence(source)), train_transform(512))
        for count in (0, 1, 2) if quick else (0, 1, 2, 4):
            loader = train_loader(dataset, 4, seed=0, workers=count)
            for _ in loader:  # starts the workers, which stay
                pass
            began = time.perf_counter()
            loaded = sum(len(target) for _, target in loader)
            yield Point("workers", count, "loader", "images/s", loaded / (time.perf_counter() - began))


def processes(quick: bool) -> Iterator[Point]:
    """Seconds of an iteration of the demo, whose batch the processes share."""
    for count in (1, 2) if quick else (1, 2, 4):
        with tempfile.TemporaryDirectory() as folder:
            found = child("shared", processes=count, folder=folder, iterations=10 if quick else 40)
        yield Point("processes", count, "iteration", "s", found["seconds"])


MEASUREMENTS: dict[str, Callable[[bool], Iterator[Point]]] = {
    "pixels": pixels,
    "classes": classes,
    "steps": steps,
    "images": images,
    "workers": workers,
    "processes": processes,
}


def child(kind: str, processes: int = 1, **arguments: Any) -> dict[str, float]:
    """What `in_child` finds in a process of its own, or in several that train together."""
    many = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"] if processes > 1 else []
    command = [sys.executable, *many, "-m", "benchmarks.scale", "--child", json.dumps(arguments | {"kind": kind})]
    if processes > 1:
        environment = os.environ | {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // processes))}
    else:
        environment = dict(os.environ)
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    return json.loads(done.stdout.strip().splitlines()[-1])


def in_child(kind: str, **arguments: Any) -> None:
    """Print seconds, and the peak of memory in GiB, of one of the measurements; the first process does."""
    found = {"iteration": _iteration, "logits": _logits, "shared": _shared}[kind](**arguments)
    if int(os.environ.get("RANK", 0)) == 0:
        print(json.dumps(found))


def _iteration(size: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        iterations = ticks(published_configuration(Path(folder), size=size))
        memory.forget_peak()
        seconds = median([tick.seconds for tick in islice(iterations, 4)][1:])
        return {"seconds": seconds, "peak": memory.peak_so_far()}


def _logits(quantity: str, n_seen: int, size: int) -> dict[str, float]:
    n_old = n_seen - max(1, n_seen // 4)
    if quantity == "cross-entropy":
        work = losses.contenders(size, 2, n_seen)["ours"]
    else:
        logits, target = pseudo.inputs(size, 2, n_old=n_old, n_seen=n_seen)
        limits = released_thresholds([(logits, target)], n_old, n_seen)
        work = {
            "pseudo-label": lambda: pseudo_label(logits, target, n_old, limits),
            "thresholds": lambda: released_thresholds([(logits, target)], n_old, n_seen),
            "median thresholds": lambda: median_thresholds([(logits, target)], n_old, n_seen),
        }[quantity]
    memory.forget_peak()
    before = memory.peak_so_far()
    seconds = interleaved({quantity: work}, 5)[quantity]
    return {"seconds": seconds, "peak": memory.peak_so_far() - before}


def _shared(folder: str, iterations: int) -> dict[str, float]:
    made = ticks(settings_of(Path(folder), "laptop", data__scenes=400, data__val_scenes=40))
    return {"seconds": median([tick.seconds for tick in islice(made, iterations)][2:])}


def draw(table: pd.DataFrame) -> Figure:
    """A panel per axis: seconds and rates as lines, memory dashed, without what is too little to be measured."""
    table = table[(table["unit"] != "GiB") | (table["amount"] >= LEAST)]
    shown = [axis for axis in AXES if (table["axis"] == axis).any()]
    n_rows = -(-len(shown) // 3)
    figure = titled("How time and memory grow", 13, 4.2 * n_rows)
    panels = figure.subplots(n_rows, min(3, len(shown)), squeeze=False).flat
    for axis, panel in zip(shown, panels, strict=False):
        rows = table[table["axis"] == axis]
        quantities = list(dict.fromkeys(rows["quantity"]))
        for (quantity, unit), points in rows.groupby(["quantity", "unit"], sort=False):
            colour, marker = SERIES[quantities.index(quantity) % len(SERIES)]
            style = "--" if unit == "GiB" else "-"
            label = f"{quantity}, {unit}"
            panel.plot(points["value"], points["amount"], style, color=colour, marker=marker, label=label)
        panel.set_xlabel(X_LABELS[axis])
        panel.set_ylabel(", ".join(dict.fromkeys(rows["unit"])))
        values = sorted(set(rows["value"]))
        if axis in ("workers", "processes"):
            panel.set_ylim(bottom=0)
        else:
            panel.set_xscale("log")
            panel.set_yscale("log")
            panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            panel.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        panel.set_xticks(values, [f"{value:,}" for value in values])
        panel.xaxis.minorticks_off()
        panel.yaxis.set_minor_formatter(NullFormatter())
        panel.grid(axis="y", alpha=0.3)
        panel.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False)
        panel.spines[["top", "right"]].set_visible(False)
    for panel in list(panels):
        panel.remove()
    return figure


def main(
    quick: bool = False,
    only: tuple[Axis, ...] = (),
    csv: Path | None = None,
    png: Path | None = None,
) -> None:
    """Measure how cost grows, and print a table.

    Args:
        quick: few and small values.
        only: axes to measure; none for all.
        csv: file for the table.
        png: picture of the table.
    """
    points: list[Point] = []
    for axis in only or AXES:
        for point in MEASUREMENTS[axis](quick):
            print(f"{point.axis:10} {point.value:8} {point.quantity:18} {point.amount:10.4g} {point.unit}", flush=True)
            points.append(point)
    table = pd.DataFrame(map(asdict, points))
    if csv:
        write_table(csv, table)
    if png:
        save(draw(table), png)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        in_child(**json.loads(sys.argv[2]))
    else:
        tyro.cli(main)
