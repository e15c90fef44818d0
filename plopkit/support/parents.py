"""A process that ends when the one that started it is gone: a launcher, or `plopkit grid`.

A launcher that is killed with SIGKILL cannot end its processes. They would train on, hold the locks of their run, and
wait for each other for as long as half an hour.
"""

import os
import signal
import threading
import time

PARENT = "PLOPKIT_PARENT"
"""The environment's variable with the id of the process that `plopkit grid` runs in."""
LAUNCHED = "TORCHELASTIC_RUN_ID"
"""The variable by which processes know that `torchrun`, or `accelerate launch` through it, has started them."""
LOOK = 1.0
"""Seconds between two looks."""
GRACE = 30.0
"""Seconds in which a process may save after the SIGTERM that it sends to itself."""


def end_with_parent() -> None:
    """Watch the process that started this one, if it is a launcher or a grid; a thread does, until this one ends.

    Once it is gone, this process gets SIGTERM: a run saves its training, with exit code 143. A process that is still
    there after `GRACE`, as one that waits for another in a collective operation, is ended.

    A signal of the system's (`PR_SET_PDEATHSIG` on Linux) would come sooner, but it reaches nobody inside such a wait,
    and it also comes when only the thread that started the process has ended.
    """
    if os.name != "posix" or not {PARENT, LAUNCHED} & set(os.environ):
        return
    # From `plopkit grid`, which may be gone already; a launcher that is gone already cannot be told from init.
    parent = int(os.environ.pop(PARENT, os.getppid()))
    threading.Thread(target=_watch, args=(parent,), name="plopkit parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)
