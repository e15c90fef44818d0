"""What every method costs on a GPU: an iteration of a later step in bf16, and the most memory that it takes.

    .venv/bin/python -m benchmarks.gpu_methods --csv gpu_methods.csv

Each is step 1 of a run of preset `paper` on photographs made on the spot, with what the method keeps of step 0, and on
a batch that is on the GPU already. Rows: `method`, `encoder`, `decoder`, `frozen`, `size`, `batch`, `ms` of an
iteration (the median of epochs of four), `ms_per_image`, `gib` (the most allocated memory) and `gpu`.
"""

import itertools
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

import pandas as pd
import torch
import tyro

import plopkit
from benchmarks.files import VARIANTS, write_data_set
from benchmarks.gpu import LABELS, same_batch
from benchmarks.machine import processor
from benchmarks.timing import interleaved
from benchmarks.trainings import settings_of
from plopkit import METHODS, trainer
from plopkit.compute import make_accelerator
from plopkit.methods.base import trainer_of
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment
from plopkit.runs.progress import no_progress
from plopkit.runs.steps import first_net
from plopkit.support.files import write_table
from plopkit.ticks import Tick

SCENARIO = "folder 15-5 overlap"
EPOCH = 4
"""Iterations of an epoch without a memory."""
LR = 1e-8
"""Nets that have learnt nothing would not stay finite at the rates of trained ones."""


class Subject(NamedTuple):
    """A method and what its net is made of."""

    method: str
    encoder: str = "resnet101"
    decoder: str = "aspp"
    frozen: bool = False
    size: int = 512


FOUNDATION = "vit_base_patch14_dinov2"
SUBJECTS = (
    *(Subject(name) for name in METHODS if name != "prototypes"),  # which has no iteration
    Subject("dft", FOUNDATION, "linear", frozen=True, size=518),
    *(
        Subject(method, encoder, "pyramid")
        for encoder in ("convnext_tiny", "swin_tiny_patch4_window7_224", "pvt_v2_b2")
        for method in ("mib", "plop")
    ),
)


def settings(subject: Subject, root: Path, out: Path, batch: int, device: str, **overrides: Any) -> plopkit.Settings:
    """Of a run whose step 1 never ends."""
    chosen = {
        "model__encoder": subject.encoder,
        "model__weights": "none",
        "model__decoder": subject.decoder,
        "model__frozen": subject.frozen,
        "data__root": root,
        "data__size": subject.size,
        "optim__batch": batch,
        "optim__lr": LR,
        "optim__lr_later": LR,
        "compute__precision": "bf16",
        "compute__workers": 0,
    }
    return settings_of(out, device=device, scenario=SCENARIO, method=subject.method, **(chosen | overrides))


def measured(chosen: plopkit.Settings, rounds: int, device: str) -> tuple[float, float]:
    """Median seconds of an iteration of step 1, and the peak of allocated memory in GiB; 0 on a CPU."""
    with mock.patch("plopkit.runs.experiment.dry_run", return_value=None):  # the iterations show the same
        experiment = Experiment.open(chosen)
    with_step_0(experiment)
    with mock.patch.object(trainer, "batches", same_batch(trainer.batches)):
        _, ticks = experiment.retrain_step(1)
        epoch_of(ticks)  # chooses algorithms
        if device == "cuda":
            torch.cuda.reset_peak_memory_stats()
        n_iterations = epoch_of(ticks)
        seconds = interleaved({"epoch": partial(epoch_of, ticks)}, rounds, warmup=0, at_least=0, device=device)["epoch"]
    return seconds / n_iterations, torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0


def epoch_of(ticks: Iterator[Tick]) -> int:
    """One epoch, and its number of iterations, which a memory of images increases.

    On a GPU a tick comes an iteration late, except the last of an epoch.
    """
    return 1 + sum(1 for _ in itertools.takewhile(lambda tick: not tick.epoch_done, ticks))


def with_step_0(experiment: Experiment) -> None:
    """Give a run the checkpoint of a step 0 of which only the norms' statistics are right, and what a method keeps."""
    step, method = experiment.scenario.steps[0], trainer_of(experiment.method, experiment.scenario.steps[0])
    accelerator, steps = make_accelerator(experiment.settings), experiment._opened.steps
    net = first_net(experiment.settings, experiment.scenario, method).to(accelerator.device)
    context, loader = steps.context(method, step, accelerator, None, {}, no_progress)
    norms: Any = [module for module in net.modules() if hasattr(module, "running_mean")]
    given = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad(), accelerator.autocast():
        net.train()(next(trainer.batches(loader, 0, accelerator))[0])
    for norm, momentum in zip(norms, given, strict=True):
        norm.momentum = momentum
    regularizer = experiment.method.regularizer(net, {})
    net, state = steps.end(step, net, accelerator, context, {} if regularizer is None else regularizer.final_state(net))
    StepStore(experiment.folder.checkpoints, 0).finish(net, [], state)


def main(
    csv: Path,
    batch: int = 24,
    rounds: int = 3,
    device: Literal["cuda", "cpu"] = "cuda",
    only: Sequence[str] = (),
    size: int | None = None,
) -> None:
    """Measure, and write the table after each row; its rows of what is not measured now stay.

    Args:
        csv: the file of results.
        batch: images of an iteration.
        rounds: epochs that count.
        device: "cuda", or "cpu" to try it.
        only: methods; none for all.
        size: side of the images; None for each subject's own.
    """
    table = pd.read_csv(csv) if csv.is_file() else pd.DataFrame(columns=list(Subject._fields))
    failed = 0
    name = torch.cuda.get_device_name() if device == "cuda" else processor()
    with tempfile.TemporaryDirectory() as folder:
        root = write_data_set(Path(folder) / "photographs", EPOCH * batch, VARIANTS, labels=LABELS)
        for index, each in enumerate(SUBJECTS):
            if only and each.method not in only:
                continue
            subject = each._replace(size=size or each.size)
            if device == "cuda":
                torch.cuda.empty_cache()
            try:
                chosen = settings(subject, root, Path(folder) / str(index), batch, device)
                seconds, peak = measured(chosen, rounds, device)
            except Exception as error:
                failed += 1
                print(f"{subject}: {type(error).__name__}: {str(error)[:300]}", flush=True)
                continue
            row = subject._asdict() | {"batch": batch, "ms": 1e3 * seconds, "ms_per_image": 1e3 * seconds / batch}
            row |= {"gib": peak, "gpu": name}
            print(row, flush=True)
            table = with_row(table, row)
            write_table(csv, table)
    if failed:
        sys.exit(f"{failed} of the methods could not be measured")


def with_row(table: pd.DataFrame, row: Mapping[str, Any]) -> pd.DataFrame:
    """The table with a row, in place of the one of the same subject."""
    same = (table[list(Subject._fields)] == [row[key] for key in Subject._fields]).all(axis=1)
    found = pd.DataFrame([row]).round(2)
    return found if same.all() else pd.concat([table[~same], found], ignore_index=True)


if __name__ == "__main__":
    tyro.cli(main)
