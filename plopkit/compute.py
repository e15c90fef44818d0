"""The hardware of a run: device, precision and processes."""

import atexit
import gc
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized
from torch import Tensor, distributed

from plopkit.settings import Compute, Settings
from plopkit.support.heap import keep_freed_memory
from plopkit.support.moved import renamed

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


def make_accelerator(settings: Settings) -> Accelerator:
    """The accelerator for these settings; device and precision may differ from those of an earlier call.

    On a CPU the process keeps the memory that it frees, from the first call on (`plopkit.support.heap`). Under
    ``torchrun`` or ``accelerate launch`` the first call starts the process group, which ends with the process.

    Raises:
        ValueError: this machine lacks what the settings require, or the batch cannot be split
            between the processes as configured.
    """
    compute, batch = settings.compute, settings.optim.batch
    precision = "no" if compute.precision == "fp32" else compute.precision
    forget_other_state(precision, compute.cpu)
    had_group = _has_group()
    accelerator = Accelerator(mixed_precision=precision, cpu=compute.cpu)
    if accelerator.device.type == "cpu":
        keep_freed_memory()
    if _has_group() and not had_group:
        atexit.register(end_process_group)
    if precision == "fp16" and accelerator.device.type == "cpu":
        raise ValueError("compute.precision fp16 needs a GPU, and this run is on the CPU; use bf16 or fp32")
    check_shares(batch, accelerator.num_processes, compute.micro_batch)
    if accelerator.device.type == "cuda":
        choose_kernels(compute)
    elif compute.compile == "graphs":
        raise ValueError("compute.compile graphs needs an NVIDIA GPU; use yes or no")
    return accelerator


def choose_kernels(compute: Compute) -> None:
    """How a GPU computes, for the whole process; PyTorch's defaults change with its version."""
    torch.backends.cuda.matmul.allow_tf32 = compute.tf32
    torch.backends.cudnn.allow_tf32 = compute.tf32
    torch.backends.cudnn.benchmark = compute.search


def compiled(net: Any, compute: str) -> Any:
    """The net as `compute.compile` says: as it is, or compiled on its first call, which takes a minute or two."""
    if compute == "no":
        return net
    return torch.compile(net, mode="reduce-overhead" if compute == "graphs" else None)


def forget_other_state(precision: str, cpu: bool) -> None:
    """Reset Accelerate's global state where it holds another precision or device.

    Accelerate fixes both for the life of a process and has no public way to change them, so this is the one place that
    calls a private function of it (as Hugging Face's transformers does). A state that fits stays: a run in another
    thread may be using it.
    """
    if is_initialized():
        state = AcceleratorState()
        on_cpu = cpu or not torch.accelerator.is_available()
        if state.mixed_precision == precision and (state.device.type == "cpu") == on_cpu:
            return
    AcceleratorState._reset_state(reset_partial_state=True)


def _has_group() -> bool:
    return distributed.is_available() and distributed.is_initialized()


def end_process_group() -> None:
    """End the process group before the interpreter does; an interpreter that ends first may abort.

    Gloo's threads release the tensors of the last collective at an arbitrary time. A tensor with a Python wrapper needs
    the interpreter for that; once this has shut down, such a thread brings the process down with "terminate called
    without an active exception" and SIGABRT (https://github.com/pytorch/pytorch/issues/190489).
    """
    if _has_group():
        gc.collect()  # nets that still hold the group, such as DistributedDataParallel
        distributed.destroy_process_group()


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
