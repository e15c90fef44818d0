"""What a run takes of the machine: as many threads and loading processes as it has processors for, and no more.

Neither changes a setting: the same settings train the same run on a machine with fewer processors. Precision and batch
change its numbers, so that they are those of the settings.
"""

import os

import torch
from accelerate import Accelerator

from plopkit.runs.time_left import TimeLeft
from plopkit.settings import Settings
from plopkit.support.cpus import n_cpus

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""By these a user says how many threads there are."""


def limit_threads() -> None:
    """Lower torch's number of threads to that of the processors allowed, unless the user has set it.

    torch counts the machine's cores, and not what a container may use of them.
    """
    if not any(os.environ.get(name) for name in THREAD_VARIABLES) and torch.get_num_threads() > n_cpus():
        torch.set_num_threads(n_cpus())


def with_fitting_workers(settings: Settings) -> Settings:
    """The settings with no more loading processes than there are processors."""
    workers = min(settings.compute.workers, n_cpus())
    return settings.model_copy(update={"compute": settings.compute.model_copy(update={"workers": workers})})


def in_one_line(settings: Settings, accelerator: Accelerator, left: TimeLeft) -> str:
    """What a run takes of the machine, and for how long: "2 threads, no workers, fp32, batch 16, about 6 min …"."""
    device, threads = accelerator.device, torch.get_num_threads()
    workers = with_fitting_workers(settings).compute.workers
    on_cpu = device.type == "cpu"
    parts = [
        _number(accelerator.num_processes, "process", "es") if accelerator.num_processes > 1 else "",
        _number(threads, "thread") if on_cpu else _name(device),
        _number(workers, "worker"),
        settings.compute.precision,
        f"batch {settings.optim.batch}",
        f"{left} for {_number(left.steps, 'step')}",
    ]
    line = ", ".join(filter(None, parts))
    return line + (_advice(threads) if on_cpu else "")


def _advice(threads: int) -> str:
    """What to do where other programs keep the processors busy: threads wait for each other."""
    if threads == 1 or any(os.environ.get(name) for name in THREAD_VARIABLES) or not hasattr(os, "getloadavg"):
        return ""
    load, cpus = os.getloadavg()[0], n_cpus()
    if load < cpus:
        return ""
    return f"; other programs are busy (load {load:.1f} on {cpus} processors): OMP_NUM_THREADS=1 may be faster"


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


def _number(count: int, noun: str, ending: str = "s") -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else ending}"
