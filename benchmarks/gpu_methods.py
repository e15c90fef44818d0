"""What every method costs on a GPU: an iteration of a later step in bf16, and the most memory that it takes.

    .venv/bin/python -m benchmarks.gpu_methods --csv gpu_methods.csv

Each is a run of preset `paper`: two iterations of step 0 on photographs made on the spot, what the step leaves, and
then iterations of step 1 on a batch that is on the GPU already. Rows: `method`, `encoder`, `decoder`, `frozen`,
`size`, `batch`, `ms` (the median of an iteration), `ms_per_image`, `gib` (the peak of allocated memory during them)
and `gpu`.
"""

import contextlib
import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple
from unittest import mock

import pandas as pd
import torch
import tyro

import plopkit
from benchmarks.files import VARIANTS, write_data_set
from benchmarks.gpu import LABELS
from benchmarks.machine import processor
from benchmarks.timing import wait
from benchmarks.trainings import settings_of
from plopkit import METHODS, trainer
from plopkit.runs.experiment import Experiment
from plopkit.support.files import write_table

SCENARIO = "folder 15-5 overlap"
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
        "optim__epochs": 1,
        "optim__lr": LR,
        "optim__lr_later": LR,
        "compute__precision": "bf16",
        "compute__workers": 0,
    }
    return settings_of(out, device=device, scenario=SCENARIO, method=subject.method, **(chosen | overrides))


def measured(chosen: plopkit.Settings, rounds: int, device: str) -> tuple[float, float]:
    """Median seconds of an iteration of step 1, and the peak of allocated memory in GiB; 0 on a CPU."""
    experiment, first = Experiment.open(chosen), {}

    def repeated(loader: Any, epoch: int, accelerator: Any, start: int = 0) -> Iterator[Any]:
        if loader not in first:
            first[loader] = next(given(loader, epoch, accelerator))
        for _ in range(start, len(loader)):
            yield first[loader]

    given, seconds = trainer.batches, []
    with mock.patch.object(trainer, "batches", repeated), contextlib.closing(experiment.ticks()) as ticks:  # type: ignore[type-var]
        for tick in ticks:
            if tick.step and tick.iteration >= 3:  # what came before chose algorithms
                wait(device)
                seconds.append(time.perf_counter())
                if len(seconds) == 1 and device == "cuda":
                    torch.cuda.reset_peak_memory_stats()
            if len(seconds) > rounds:
                break
    peak = torch.cuda.max_memory_allocated() / 2**30 if device == "cuda" else 0.0
    return median(after - before for before, after in itertools.pairwise(seconds)), peak


def main(
    csv: Path,
    batch: int = 24,
    rounds: int = 10,
    device: Literal["cuda", "cpu"] = "cuda",
    only: Sequence[str] = (),
    size: int | None = None,
) -> None:
    """Measure, and write the table after each row.

    Args:
        csv: the file of results.
        batch: images of an iteration.
        rounds: iterations that count.
        device: "cuda", or "cpu" to try it.
        only: methods; none for all.
        size: side of the images, where not each subject's own.
    """
    rows: list[dict[str, Any]] = []
    name = torch.cuda.get_device_name() if device == "cuda" else processor()
    with tempfile.TemporaryDirectory() as folder:
        root = write_data_set(Path(folder) / "photographs", 2 * batch, VARIANTS, labels=LABELS)
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
                print(f"{subject}: {type(error).__name__}: {str(error)[:300]}", flush=True)
                continue
            row = subject._asdict() | {"batch": batch, "ms": 1e3 * seconds, "ms_per_image": 1e3 * seconds / batch}
            rows.append(row | {"gib": peak, "gpu": name})
            print(rows[-1], flush=True)
            write_table(csv, pd.DataFrame(rows).round(2))


if __name__ == "__main__":
    tyro.cli(main)
