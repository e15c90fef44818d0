"""The iteration on a GPU: batch 24 of 512 pixels in half precision, ours against the published one in fp16 autocast.

Both compute on a batch that is on the GPU already. What an iteration waits for its images is measured on photographs,
loaded by eight workers as in preset `paper`: its time minus that of an iteration on the same batch again and again.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.files import VARIANTS, write_data_set
from benchmarks.subjects.iteration import norms
from benchmarks.timing import Effort, Row, interleaved, wait
from benchmarks.trainings import published_configuration, published_iterations, published_training, start_of, ticks
from plopkit import Settings, trainer

BATCH = 24
EPOCH = 12
"""Iterations of an epoch."""
LABELS = tuple((1 + index % 15, 16 + index % 5) for index in range(VARIANTS))
"""Of the photographs: step 1 trains on all."""
ROUNDS = (10, 3)


def measure(
    effort: Effort,
    size: int = 512,
    batch: int = BATCH,
    encoder: str = "resnet101",
    precisions: tuple[str, ...] = ("bf16", "fp16"),
) -> list[Row]:
    """Seconds per image and GiB, against the published form; seconds with and without the loader.

    The last of the precisions is the reference's.
    """
    device, rounds = effort.device, effort.rounds(*ROUNDS)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as name:
        root = write_data_set(Path(name) / "photographs", EPOCH * batch, VARIANTS, labels=LABELS)
        settings = partial(
            published_configuration, Path(name), size=size, batch=batch, encoder=encoder, device=device, root=root
        )
        start = start_of(settings(), most=2)
        # Without inplace-abn, whose kernels know no half precision.
        published = published_iterations(published_training(start, "abn", precisions[-1], device), start)
        reference, reference_peak = _measured(partial(next, published), rounds, device)
        del published
        for norm in norms():
            for precision in precisions:
                seconds, peak = _repeated(settings(norm, precision), rounds, device)
                against = f"published, {precisions[-1]}"
                label = f"{norm}, {precision}"
                rows.append(Row(f"an image, {label}", seconds / batch, reference / batch, against=against))
                if peak and reference_peak:
                    rows.append(Row(f"peak memory, {label}", peak, reference_peak, "GiB", against=against))
        chosen = settings(precision=precisions[0], workers=min(8, os.cpu_count() or 1))
        loaded, _ = _measured(partial(next, ticks(chosen)), 2 * rounds, device)
        alone, _ = _repeated(chosen, rounds, device)
    share = max(1 - alone / loaded, 0.0)
    return [*rows, Row(f"iteration with the loader, {share:.1%} waiting", loaded, alone, against="one batch, repeated")]


def _repeated(settings: Settings, rounds: int, device: str) -> tuple[float, float | None]:
    """Of plopkit's iterations on one batch again and again, as `_measured`."""
    with mock.patch.object(trainer, "batches", same_batch(trainer.batches)):
        return _measured(partial(next, ticks(settings)), rounds, device)


def _measured(work: Callable[[], Any], rounds: int, device: str) -> tuple[float, float | None]:
    """Median seconds, and the peak of allocated memory in GiB on a GPU. One contender at a time: two may not fit."""
    cuda = device == "cuda"
    if cuda:
        torch.cuda.empty_cache()
    work()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    seconds = interleaved({"it": work}, rounds, warmup=2, at_least=0, device=device)["it"]
    wait(device)
    return seconds, torch.cuda.max_memory_allocated() / 2**30 if cuda else None


def same_batch(batches: Callable[..., Iterator[tuple[Tensor, Tensor]]]) -> Callable[..., Iterator[Any]]:
    """`trainer.batches`, with the first batch in place of all others."""
    kept: list[tuple[Tensor, Tensor]] = []

    def repeated(loader: Any, epoch: int, accelerator: Any, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        if not kept:
            kept.append(next(batches(loader, epoch, accelerator)))
        for _ in range(first, len(loader)):
            yield kept[0]

    return repeated
