"""Files that grow by appending: what a killed writer has half appended is never read.

A writer first notes the file's length, next to the file; then it appends; then it removes the note, and only this makes
the appended part count. While there is a note, a reader takes no more of the file than the note says, and the next
writer cuts off the rest. One writer at a time, any number of readers at any time.
"""

import os
from pathlib import Path

from plopkit.support.files import disk_error, write_text


def append_text(path: Path, text: str) -> None:
    """Append UTF-8 text to a file, all of it or nothing.

    Raises:
        FileNotFoundError: There is no such file.
        OSError: The text cannot be written; the file is as it was.
    """
    undo_append(path)
    write_text(_note(path), f"{path.stat().st_size}\n")
    try:
        with open(path, "ab") as file:
            file.write(text.encode())
    except OSError as error:
        undo_append(path)
        raise disk_error(path, error) from error
    _note(path).unlink()


def replace_text(path: Path, text: str) -> None:
    """Write a file that may grow, as a whole, whether it exists or not."""
    undo_append(path)
    write_text(path, text)


def undo_append(path: Path) -> None:
    """Cut off what a killed writer has appended. No writer may be active."""
    length = _noted(path)
    if length is not None:
        if path.is_file() and path.stat().st_size > length:
            os.truncate(path, length)
        _note(path).unlink()


def read_appended(path: Path) -> bytes:
    """The content of a file that may be growing, without what is being appended.

    Raises:
        FileNotFoundError: There is no such file.
    """
    while True:
        content = path.read_bytes()
        length = _length_that_counts(path, len(content))
        if length is not None:
            return content[:length]


def appended_length(path: Path) -> int:
    """The number of bytes that `read_appended` gives.

    Raises:
        FileNotFoundError: There is no such file.
    """
    while True:
        length = _length_that_counts(path, path.stat().st_size)
        if length is not None:
            return length


def _length_that_counts(path: Path, size: int) -> int | None:
    """How much counts of a file that had this size a moment ago; None if it has grown since: look again."""
    noted = _noted(path)
    if noted is not None and noted <= size:
        return noted
    # Without a note, an append may just have ended, and half of it may have been there at the first look.
    return size if path.stat().st_size == size else None


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.appending")


def _noted(path: Path) -> int | None:
    """The length in the note, or None without one."""
    try:
        return int(_note(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
