"""Waiting for what another process or thread does."""

import subprocess
import time
from collections.abc import Callable

PATIENCE = 300.0
"""Seconds after which something has gone wrong, however busy the machine is."""


def wait_until(
    happened: Callable[[], object], process: "subprocess.Popen[bytes] | subprocess.Popen[str] | None" = None
) -> None:
    """Wait until something has happened; fail where the process that brings it about ends without it."""
    end = time.monotonic() + PATIENCE
    while not happened():
        ended = process is not None and process.poll() is not None
        if happened():  # by a process that has just ended
            return
        assert not ended, f"the process ended with exit code {process.returncode if process else None}"
        assert time.monotonic() < end, f"it has not happened after {PATIENCE:.0f} s"
        time.sleep(0.01)
