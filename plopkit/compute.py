"""The hardware of a run: device, precision and processes."""

import atexit
import contextlib
import gc
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, is_initialized
from accelerate.utils import AutocastKwargs
from torch import Tensor, distributed

from plopkit.settings import Compute, Settings
from plopkit.support.heap import keep_freed_memory
from plopkit.support.moved import renamed
from plopkit.support.seeding import all_seeded

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


LAUNCHER_PREFIXES = ("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_", "FP8_")
"""How the variables begin from which Accelerate takes what was not passed to it."""
HARMLESS = ("ACCELERATE_CPU_AFFINITY", "ACCELERATE_DEBUG_MODE", "ACCELERATE_ENABLE_RICH", "ACCELERATE_LOG_LEVEL")
"""Those that change no number and that no setting decides."""
OFF = ("", "0", "false", "no", "n", "off", "f")
"""Values by which such a variable asks for nothing; `accelerate launch` sets many of them."""
ON = ("1", "true", "yes", "y", "on", "t")
SHARDING = {
    "ACCELERATE_USE_DEEPSPEED": "DeepSpeed",
    "ACCELERATE_USE_FSDP": "FSDP",
    "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "a parallelism configuration",
    "ACCELERATE_USE_SAGEMAKER": "SageMaker's data parallelism",
}
"""What distributes a net in a way that plopkit does not have."""


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
    check_launcher(compute)
    cpu = compute.cpu or not torch.accelerator.is_available()  # as Accelerate must know to let processes share CPUs
    had_group = _has_group()
    with settings_decide():
        forget_other_state(precision, cpu)
        accelerator = Accelerator(mixed_precision=precision, cpu=cpu, gradient_accumulation_steps=1)
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


@contextlib.contextmanager
def settings_decide() -> Iterator[None]:
    """Hide from Accelerate, inside the context, the environment's variables that would decide what settings decide.

    Accelerate reads them when an `Accelerator` is made and when it prepares a net: the steps over which gradients are
    accumulated, precision, fp8, compilation, device, and how a net is distributed. `HARMLESS` ones stay.
    """
    hidden = {name: os.environ.pop(name) for name in _launcher_variables()}
    try:
        yield
    finally:
        os.environ.update(hidden)


def check_launcher(compute: Compute) -> None:
    """Compare what the environment's variables ask Accelerate for with the settings, which decide.

    Raises:
        ValueError: for what plopkit does not have, such as DeepSpeed.

    Warns:
        UserWarning: for what differs from the settings, and is ignored.
    """
    asked = {name: os.environ[name] for name in _launcher_variables()}
    for name, kind in SHARDING.items():
        if asked.get(name, "").lower() not in OFF and not _is_single_sagemaker(name, asked):
            raise ValueError(
                f"{name}={asked[name]} in the environment asks for {kind}, which plopkit does not have: each process "
                "holds the whole net; unset it, or start the processes with torchrun or plain `accelerate launch`"
            )
    on_cpu = compute.cpu or not torch.accelerator.is_available()
    fp32 = compute.precision == "fp32"
    decided = {  # the settings, and the values of the variable that say the same
        "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": ("optim.batch and compute.micro_batch", ("1",)),
        "ACCELERATE_MIXED_PRECISION": ("compute.precision", () if fp32 else (compute.precision,)),
        "ACCELERATE_USE_CPU": ("compute.cpu", ON if on_cpu else ()),
        "ACCELERATE_TORCH_DEVICE": ("compute.cpu (and CUDA_VISIBLE_DEVICES)", ("cpu",) if on_cpu else ()),
        "ACCELERATE_DYNAMO_BACKEND": ("compute.compile", ()),
        "ACCELERATE_FP8_BACKEND": ("compute.precision", ()),
    }
    for name, (setting, same) in decided.items():
        if name in asked and asked[name].lower() not in (*OFF, *same):
            warnings.warn(f"{name}={asked[name]} in the environment is ignored: {setting} decides", stacklevel=2)


def _launcher_variables() -> list[str]:
    return [name for name in os.environ if name.startswith(LAUNCHER_PREFIXES) and name not in HARMLESS]


def _is_single_sagemaker(name: str, asked: dict[str, str]) -> bool:
    return name == "ACCELERATE_USE_SAGEMAKER" and asked.get("ACCELERATE_SAGEMAKER_DISTRIBUTED_TYPE") == "NO"


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


@contextlib.contextmanager
def as_in_training(accelerator: Accelerator, *numbers: int) -> Iterator[None]:
    """What holds inside for a verb of a method that lets nets see images outside `trainer.fit`.

    Nets compute in `compute.precision`, as in `fit`: thresholds, counts, prototypes and the classes that a net
    recognises are those of the very outputs that the losses see. What is made of these outputs is computed in float32
    or better all the same, by the functions that make it.

    Args:
        accelerator: accelerator of the run.
        numbers: from which the verb's random numbers are drawn, whatever was drawn before.
    """
    # Without its cache, which would go on with a weight as it was before the verb changed it.
    precision = AutocastKwargs(cache_enabled=False)
    with all_seeded(accelerator.device, *numbers), accelerator.autocast(precision):
        yield


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
