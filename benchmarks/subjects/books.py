"""What a run writes after each of 51 steps: does the cost of a step grow with the steps before it?

All steps are given checkpoints and thousands of ticks in advance, so that `Experiment.run` only evaluates a few images
and writes its tables.
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import plopkit
from benchmarks.files import write_data_set
from benchmarks.timing import Effort, Row
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment, first_net

STEPS = 51
BAR = 1.25
IMAGES = 6


def seconds_per_step(folder: Path, steps: int, ticks: int) -> float:
    """Seconds for evaluation and tables of a step, in a run of so many steps, each of so many iterations."""
    n_classes = steps + 2  # background, and one class for step 0
    everything = tuple(range(1, n_classes))
    size = (48, 48)
    root = write_data_set(folder / f"data{steps}", IMAGES, IMAGES, size, n_classes, labels=[everything] * IMAGES)
    overrides = {"data.root": root, "data.size": 48, "out": folder / "runs", "name": str(steps), "optim.batch": 2}
    settings = plopkit.configure("folder 2-1 overlap", "ft", "smoke", overrides)
    experiment = Experiment.open(settings)
    net = first_net(experiment.settings, experiment.scenario, experiment.method.first_step())
    for step in experiment.scenario.steps:
        if step.index:
            net = net.grown(len(step.new))
        made = [tick(step.index, number, ticks) for number in range(ticks)]
        StepStore(experiment.folder.checkpoints, step.index).finish(net, made, {})
    began = time.perf_counter()
    experiment.run(progress=False)
    return (time.perf_counter() - began) / steps


def tick(step: int, iteration: int, n_iterations: int) -> dict[str, Any]:
    """A `Tick` as plain values."""
    return {
        "step": step,
        "epoch": 0,
        "epochs": 1,
        "iteration": iteration,
        "n_iterations": n_iterations,
        "losses": {"ce": 1 / (1 + iteration)},
        "lr": 0.01,
        "seconds": 0.1,
        "epoch_done": iteration == n_iterations - 1,
    }


def measure(effort: Effort) -> list[Row]:
    """A step's cost in a run of 51 steps against that in a run of a third as many."""
    ticks = 300 if effort.quick else 1000
    with tempfile.TemporaryDirectory() as name:
        few = seconds_per_step(Path(name), STEPS // 3, ticks)
        many = seconds_per_step(Path(name), STEPS, ticks)
    return [Row(f"books of a step, {STEPS} steps", many, few, bar=BAR, against=f"{STEPS // 3} steps")]
