"""What a run computes on: device, precision and processes."""

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor

from plopkit.settings import Settings


def make_accelerator(settings: Settings) -> Accelerator:
    """The device, precision and processes of a run.

    Accelerate keeps them in global state and refuses others afterwards; runs of one process may differ in them.

    Raises:
        ValueError: where this machine or number of processes cannot do what the settings ask for.
    """
    compute, batch = settings.compute, settings.optim.batch
    precision = "no" if compute.precision == "fp32" else compute.precision
    state = AcceleratorState._shared_state
    if (state.get("_mixed_precision"), state.get("_cpu")) != (
        precision,
        compute.cpu,
    ):  # not while a run in another thread uses it
        AcceleratorState._reset_state(reset_partial_state=True)
    accelerator = Accelerator(mixed_precision=precision, cpu=compute.cpu)
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("compute.precision fp16 needs a GPU, and this run is on the CPU; use bf16 or fp32")
    check_shares(batch, accelerator.num_processes, compute.micro_batch)
    return accelerator


def check_shares(batch: int, processes: int, micro_batch: int | None) -> None:
    """ValueError where a process or a part would have no image, or batch norm would see a single one."""
    if batch < processes:
        raise ValueError(
            f"optim.batch {batch} counts the images of all processes together, and there are {processes} processes; "
            f"raise it to {processes} or more, or use fewer processes"
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
    """The number of parts, as even as possible, in which a batch goes through the net."""
    return -(-batch // (micro_batch or batch))


def images_per_process(images: int, accelerator: Accelerator) -> list[int]:
    """The number of images of a batch in each process; ``images`` is this process's."""
    if accelerator.num_processes == 1:
        return [images]
    return accelerator.gather(torch.tensor([images], device=accelerator.device)).tolist()


def summed(counts: Tensor, accelerator: Accelerator) -> Tensor:
    """The sum over all processes."""
    return accelerator.reduce(counts, "sum") if accelerator.num_processes > 1 else counts
