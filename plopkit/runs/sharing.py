"""What several processes agree on. Step 0 is trained once for all runs that share it, and the others wait."""

import contextlib
import warnings
from collections.abc import Iterator
from pathlib import Path

from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from filelock import FileLock, Timeout

from plopkit.runs.folder import tidy
from plopkit.support.bars import notice

STEP_0 = ".step0"
"""Where the steps 0 are that several runs share, below `Settings.out`."""
LOOK = 1.0
"""Seconds between two looks of processes that wait together."""


@contextlib.contextmanager
def sole_trainer(folder: Path, accelerator: Accelerator) -> Iterator[None]:
    """Wait until no other run trains in this folder, and keep others waiting inside the context.

    The operating system releases the lock of a process that ends, however it ends: then one of those that wait goes on
    with what it had saved. Where a run has several processes, its main process waits for all of them.
    """
    lock = FileLock(folder / ".lock", is_singleton=True, thread_local=False)
    held, tries = False, 0
    try:
        while not _together(held, accelerator) or not tries:
            if accelerator.is_main_process:
                folder.mkdir(parents=True, exist_ok=True)
                held = _acquired(lock, LOOK if tries else 0)
                if not held and not tries:
                    notice(f"{folder}: another run is training step 0, which this run shares; waiting for it")
            tries += 1
        if accelerator.is_main_process and lock.lock_counter == 1:
            tidy(folder)
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def failing_together(accelerator: Accelerator) -> Iterator[None]:
    """End all processes of a run where the main one fails inside the context, which only the main one explains.

    Raises:
        SystemExit: in the other processes, with exit code 2.
    """
    failed = False
    try:
        yield
    except BaseException:
        failed = True
        raise
    finally:
        stopped = _together(failed, accelerator)
    if stopped:
        raise SystemExit(2)


def _acquired(lock: FileLock, seconds: float) -> bool:
    try:
        lock.acquire(timeout=seconds)
    except Timeout:
        return False
    except (OSError, NotImplementedError) as error:
        folder = Path(lock.lock_file).parent
        warnings.warn(
            f"{folder}: cannot be locked here ({error}); make sure that no other run trains this step 0", stacklevel=3
        )
    return True


def _together(held: bool, accelerator: Accelerator) -> bool:
    """What the main process says, in all processes: each waits no longer than for one look."""
    if accelerator.num_processes == 1:
        return held
    answer = [held]
    broadcast_object_list(answer)
    return answer[0]
