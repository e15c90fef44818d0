"""What a run computes on: device, precision and processes."""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from plopkit.settings import Settings


def make_accelerator(settings: Settings) -> Accelerator:
    """Accelerate's device and precision, which may change between runs; its global state forbids it."""
    compute, batch = settings.compute, settings.optim.batch
    precision = "no" if compute.precision == "fp32" else compute.precision
    state = AcceleratorState._shared_state
    if (state.get("_mixed_precision"), state.get("_cpu")) != (precision, compute.cpu):  # a run in another thread has it
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=precision, cpu=compute.cpu)
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("compute.precision fp16 needs a GPU, and this run is on the CPU; use bf16 or fp32")
    check_shares(batch, accelerator.num_processes, compute.micro_batch)
    return accelerator


def check_shares(batch: int, processes: int, micro_batch: int | None) -> None:
    """ValueError where a process or a part would have no image, or batch norm would see one alone."""
    if batch < processes:
        raise ValueError(
            f"optim.batch {batch} is of all processes together, and there are {processes}; "
            f"give it {processes} images or more, or take fewer processes"
        )
    least, most = batch // processes, -(-batch // processes)
    parts = num_micro_batches(most, micro_batch)
    if least < parts:
        raise ValueError(
            f"compute.micro_batch {micro_batch} cuts a batch of {most} into {parts} parts, and some of the {processes} "
            f"processes that share {batch} images have {least}; choose another"
        )
    if micro_batch and least // parts * processes < 2 <= batch:
        raise ValueError(
            f"compute.micro_batch {micro_batch} cuts the batch of {most} into parts of one image, over which "
            "batch norm has no statistics; choose another"
        )


def num_micro_batches(batch: int, micro_batch: int | None) -> int:
    """In how many parts, as even as possible, a batch goes through the net."""
    return -(-batch // (micro_batch or batch))


def shares(images: int, accelerator: Accelerator) -> list[int]:
    """How many images each process has of a batch, of which this one has so many."""
    if accelerator.num_processes == 1:
        return [images]
    return accelerator.gather(torch.tensor([images], device=accelerator.device)).tolist()


def summed(counts: Tensor, accelerator: Accelerator) -> Tensor:
    """Over all processes."""
    return accelerator.reduce(counts, "sum") if accelerator.num_processes > 1 else counts
