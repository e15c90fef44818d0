"""The runs of a grid as processes of this machine.

One thread starts them and looks at them in turn. A pool of `concurrent.futures` would choose a run when it is put into
the queue; here it is chosen when a worker is free, so that no worker waits for a step 0 that another one is training.
A signal reaches the only thread there is.
"""

import contextlib
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime

from plopkit.grids.plan import PlannedRun
from plopkit.grids.state import Entry
from plopkit.grids.watch import is_busy, is_finished
from plopkit.support.cpus import n_cpus
from plopkit.support.files import make_folder
from plopkit.support.parents import PARENT
from plopkit.support.signals import HeldSignals

LOOK = 0.2
"""Seconds between two looks at the processes."""
READ = 1.0
"""Seconds between two looks into a run's folder."""
PATIENCE = 45.0
"""Seconds in which a process that is asked to end may save; a run needs 30 at most."""


def command_of(run: PlannedRun) -> list[str]:
    """The command of a run's process."""
    return [sys.executable, "-m", "plopkit", *run.words]


def run_locally(entries: Sequence[Entry], workers: int, show: Callable[[], None]) -> None:
    """Run all that wait; they end as `finished` or `failed`.

    Whatever ends this early, such as a signal, ends the processes first, which save their training.

    Args:
        entries: the runs.
        workers: number of processes at once.
        show: called after every look.
    """
    devices = gpus()
    places: dict[int, tuple[subprocess.Popen[bytes], Entry]] = {}
    signals = HeldSignals(leave=lambda: None)
    try:
        while places or any(entry.state == "waiting" for entry in entries):
            for worker in range(workers):
                if worker in places or (entry := next_entry(entries)) is None:
                    continue
                if is_finished(entry.run):  # meanwhile, by another process
                    entry.finished()
                else:
                    with signals.held():  # a process that is not in `places` yet would be left behind
                        places[worker] = start(entry, environment_of(worker, workers, devices)), entry
                    signals.deliver()
            show()
            time.sleep(LOOK)
            for worker, (process, entry) in list(places.items()):
                if (code := process.poll()) is None:
                    entry.look(READ)
                else:
                    del places[worker]
                    entry.ended(code)
        show()
    finally:
        stop([process for process, _ in places.values()])
        signals.close()


def next_entry(entries: Sequence[Entry]) -> Entry | None:
    """The next run to start: the first that waits, whose step 0 no run of the grid trains, and that nobody works on."""
    training = {entry.run.step_0 for entry in entries if entry.state == "running" and not entry.place.trained}
    waiting = (entry for entry in entries if entry.state == "waiting")
    free = (entry for entry in waiting if entry.place.trained or entry.run.step_0 not in training)
    return next((entry for entry in free if not is_busy(entry.run)), None)


def start(entry: Entry, environment: dict[str, str]) -> subprocess.Popen[bytes]:
    """Start a run's process; what it prints goes to the run's log.

    It has a session of its own: Ctrl-C in the terminal reaches the grid alone, which then ends its processes in order.
    """
    make_folder(entry.log.parent)
    entry.started()
    command = command_of(entry.run)
    with open(entry.log, "ab") as log:
        log.write(f"\n{datetime.now().astimezone():%Y-%m-%d %H:%M:%S%z} {shlex.join(command)}\n".encode())
        log.flush()
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )


def environment_of(worker: int, workers: int, devices: Sequence[str]) -> dict[str, str]:
    """The environment of a worker's processes: its share of the cores, unless the user has set it, and one GPU."""
    environment = os.environ | {PARENT: str(os.getpid())}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, n_cpus() // workers)))
    if devices:
        environment["CUDA_VISIBLE_DEVICES"] = devices[worker % len(devices)]
    return environment


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    if named is not None:
        return [name.strip() for name in named.split(",") if name.strip()]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]


def stop(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """Ask processes to end, wait until they have saved, and end those that do not."""
    try:
        for process in processes:
            process.terminate()
        end = time.monotonic() + PATIENCE
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.0, end - time.monotonic()))
    finally:  # also where the user does not wait
        for process in processes:
            process.kill()
            process.wait()
