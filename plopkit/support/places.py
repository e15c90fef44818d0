"""Paths as users write them, and files of strangers read with a limit."""

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path


def expanded(path: str | Path) -> Path:
    """The path with `~` and `~name` replaced by the home directory, as a shell does where it sees them.

    A shell leaves the `~` of `--root=~/voc` as it is, and no shell reads a setting or a notebook's parameter.

    Raises:
        ValueError: There is no such home directory, or the path is empty, as of a shell's variable that is not set.
    """
    if path == "":
        raise ValueError("an empty path; name a file or a folder")
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{path}: the home directory that ~ stands for is not known here; write the path in full, or set HOME"
        ) from error


def home() -> Path | None:
    """The user's home directory; None where there is none, as in a container whose user has no entry and no HOME."""
    try:
        return Path.home()
    except RuntimeError:
        return None


@contextlib.contextmanager
def needing_rights(path: object) -> Iterator[None]:
    """Within it, an error of missing rights says which file or folder cannot be read, and what to do."""
    try:
        yield
    except PermissionError as error:
        raise PermissionError(f"{path}: cannot be read ({error.strerror or error}); fix its permissions") from error


def read_limited(path: str | Path, limit: int, what: str) -> bytes:
    """The bytes of a file that is small if it is what it should be.

    Args:
        path: The file.
        limit: The largest size in bytes.
        what: What it should be, for the error message, such as "a list of images".

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is larger, or not a plain file (a pipe would be waited for, and a device never ends).
        OSError: It cannot be read.
    """
    with needing_rights(path):
        found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path}: not a plain file, but {what} is one; name another")
    if found.st_size > limit:
        raise ValueError(f"{path}: {found.st_size:,} bytes, but {what} has at most {limit:,}; is it the right file?")
    with needing_rights(path), open(path, "rb") as file:
        return file.read(limit)
