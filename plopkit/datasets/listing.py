"""Sizes and times of many files, from one scan of each folder."""

import contextlib
import os
import stat
from collections.abc import Sequence
from typing import NamedTuple, Self


class FileState(NamedTuple):
    """What shows that a file has not changed, short of reading it."""

    path: str
    """absolute, without symbolic links"""
    size: int
    """in bytes"""
    mtime_ns: int
    ctime_ns: int
    """when the system noted the last change; unlike the time of modification, nobody can set it"""
    inode: int


def file_states(paths: Sequence[str]) -> list[FileState | None]:
    """Look at files, many to a folder.

    Listing a folder tells which of its entries are links, so that only those need to be resolved one by one.

    Args:
        paths: Files that may or may not exist.

    Returns:
        One state per path; None where there is no such file.
    """
    folders: dict[str, _Folder] = {}
    states = []
    for path in paths:
        head = path[: path.rfind(os.sep) + 1]
        if (folder := folders.get(head)) is None:
            folder = folders[head] = _Folder.open(head)
        states.append(folder.state(path[len(head) :], path))
    return states


class _Folder(NamedTuple):
    """A folder that has been listed."""

    prefix: str
    """its absolute path without symbolic links, up to its entries' names"""
    entries: dict[str, os.DirEntry[str]]

    @classmethod
    def open(cls, path: str) -> Self:
        entries: dict[str, os.DirEntry[str]] = {}
        with contextlib.suppress(OSError), os.scandir(path or os.curdir) as listed:  # no such folder: nothing in it
            entries = {entry.name: entry for entry in listed}
        return cls(os.path.join(os.path.realpath(path), ""), entries)

    def state(self, name: str, path: str) -> FileState | None:
        entry = self.entries.get(name)
        try:
            # A name that is not listed may exist all the same: some file systems ignore case, or Unicode's forms.
            found = os.stat(path) if entry is None else entry.stat()
            if not stat.S_ISREG(found.st_mode):
                return None
            is_link = entry is None or entry.is_symlink()
            resolved = os.path.realpath(path) if is_link else self.prefix + name
            return FileState(resolved, found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)
        except (OSError, ValueError):  # ValueError: a null character in the name
            return None
