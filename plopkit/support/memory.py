"""How much memory this process may still take: the machine's, and what a container or a job of a cluster allows."""

import os
import sys
from pathlib import Path

SYSTEM = Path("/")


def available_memory(system: Path = SYSTEM) -> int | None:
    """Bytes that may still be taken without swapping; None where the system does not say.

    Args:
        system: The root of the file system, in which Linux shows what it has.
    """
    known = [n for n in (_of_machine(system), *_of_groups(system)) if n is not None]
    return max(min(known), 0) if known else None


def _of_machine(system: Path) -> int | None:
    lines = _read(system / "proc/meminfo").splitlines()
    for line in lines:
        if line.startswith("MemAvailable:"):
            return 1024 * int(line.split()[1])
    if sys.platform == "darwin":  # which counts as free only what nothing has ever used
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    return None


def _of_groups(system: Path) -> list[int | None]:
    """What is left of the limits of this process's control groups, of both versions."""
    left: list[int | None] = []
    for line in _read(system / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            top, names = system / "sys/fs/cgroup", ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            top, names = system / "sys/fs/cgroup/memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        inner = top / path.strip("/")
        # In a container the path is that outside of it, and its own group is the top.
        folders = [inner, *inner.parents] if inner.is_dir() else [top]
        left += [_left(folder, *names) for folder in folders if folder == top or top in folder.parents]
    return left


def _left(folder: Path, limit: str, used: str) -> int | None:
    """Limit minus use, without the pages of files, which are given up when they are needed; None without a limit."""
    most, taken = _read(folder / limit).strip(), _read(folder / used).strip()
    if not (most.isdecimal() and taken.isdecimal()):  # "max", or no such file
        return None
    files = dict(line.split() for line in _read(folder / "memory.stat").splitlines())
    cached = files.get("total_inactive_file", files.get("inactive_file", "0"))
    return int(most) - int(taken) + int(cached)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, ValueError):
        return ""
