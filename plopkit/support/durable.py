"""What a power cut must not undo, and who is still writing: syncs to disk, and locks on files that are half written."""

import contextlib
import errno
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

fcntl: Any = None
with contextlib.suppress(ImportError):  # Windows has none
    import fcntl

DAY = 24 * 60 * 60
NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES)
"""What file systems answer that do not sync folders."""


def sync(path: Path) -> None:
    """Wait until a file's content, or a folder's entries, have reached the disk."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":
        return  # Windows opens no folders, and writes their entries at once
    handle = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(handle)
    except OSError as error:
        if not is_folder or error.errno not in NO_SYNC:
            raise
    finally:
        os.close(handle)


def replace(part: Path, path: Path) -> None:
    """Move a written file to its place, so that after a power cut the old or the new content is there, whole."""
    sync(part)
    os.replace(part, path)
    sync(path.parent)


def make_parents(path: Path) -> None:
    """Make the folders above a path; new ones survive a power cut."""
    new = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    for folder in new:
        sync(folder.parent)


@contextlib.contextmanager
def being_written(part: Path) -> Iterator[None]:
    """Make a file, and let other processes know that it is being written, until the context or the process ends."""
    handle = os.open(part, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        if fcntl is None:
            os.close(handle)  # Windows moves no file that is open
        else:
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        if fcntl is not None:
            os.close(handle)


def is_abandoned(part: Path) -> bool:
    """Whether no process is writing this file any more. Where locks cannot tell: whether it is a day old."""
    try:
        handle = os.open(part, os.O_RDWR)
    except OSError:
        return False
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        pass
    finally:
        os.close(handle)
    return time.time() - part.stat().st_mtime > DAY
