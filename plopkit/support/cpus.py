"""How many processors this process may use, and how its threads wait for each other there.

A container may have fewer processors than it sees: a cgroup's quota limits their time, and neither Python nor torch
looks at it. Threads beyond the quota are stopped for most of each period, and the others wait for them.
"""

import math
import os
from collections.abc import Iterator, MutableMapping
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
SPIN_VARIABLES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
"""What a user may set to say how OpenMP's threads wait."""
SPINS = "5000"
"""Rounds, some ten microseconds; the default is 300,000."""


def n_cpus() -> int:
    """Number of processors that this process may use: those of its affinity, and no more than its cgroup's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, quota())))


def quota(cgroups: Path = CGROUPS, own: Path = OWN_CGROUPS) -> float:
    """The processors that the cgroups of this process allow, such as 1.5; infinite without a limit.

    Args:
        cgroups: Where cgroups are mounted.
        own: The file with the cgroups of this process.
    """
    return min(_limits(cgroups, own), default=math.inf)


def _limits(cgroups: Path, own: Path) -> Iterator[float]:
    """The limits of a process's cgroups and of all above them."""
    try:
        lines = own.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError):  # no Linux, or it is hidden
        return
    for line in lines:
        _, controllers, path, *_ = *line.split(":", 2), "", ""
        root, names = cgroups, ["cpu.max"]  # version 2
        if controllers:
            root, names = cgroups / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
            if "cpu" not in controllers.split(","):
                continue
        inside = Path(path.strip("/"))
        for folder in (inside, *inside.parents):
            limit = _limit([root / folder / name for name in names])
            if limit is not None:
                yield limit


def _limit(files: list[Path]) -> float | None:
    """Processors of a cgroup, from its files with quota and period; None where it has no limit."""
    try:
        allowed, period = (float(word) for file in files for word in file.read_text(encoding="ascii").split())
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return allowed / period if allowed > 0 and period > 0 else None


def spin_briefly(environment: MutableMapping[str, str] | None = None) -> None:
    """Let OpenMP's threads spin only briefly while they wait for each other, unless the user has said how they wait.

    By default they spin for a millisecond and more, and where other programs are busy, they take a processor from the
    very thread that they wait for (docs/guides/settings.md has figures). GNU's library, torch's on Linux, reads this
    when it is loaded: once torch is, it has no effect. Processes that are started later inherit it.

    Args:
        environment: Where to set it; by default that of this process.
    """
    environment = os.environ if environment is None else environment
    if not any(name in environment for name in SPIN_VARIABLES):
        environment["GOMP_SPINCOUNT"] = SPINS
