"""Sealed files that grow by appending: what a killed writer has half appended is never read.

A writer first notes the file's length and digest, next to the file; then it appends and seals the file as it is now;
then it removes the note, and only this makes the appended part count. While there is a note, a reader takes no more of
the file than the note says, and the next writer cuts off the rest. One writer at a time, any number of readers at any
time.

The process that has written a file goes on from the digest that it has computed, so that an append costs what it adds;
a process that finds a file reads it once.
"""

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any, NamedTuple

from plopkit.support import durable, seals
from plopkit.support.files import disk_error, write_text

Stamp = tuple[int, int, int]
"""Inode, size and time of the last change of a file."""

_running: dict[Path, tuple[Stamp, Any]] = {}
"""The digest under way of each file that this process has written, as long as nobody else changes the file."""


def append_text(path: Path, text: str) -> None:
    """Append UTF-8 text to a file, all of it or nothing.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedError: The file is not what was written.
        OSError: The text cannot be written; the file is as it was.
    """
    undo_append(path)
    added, digest = text.encode(), _digest_so_far(path)
    before = digest.hexdigest() if seals.sealed_digests(path) else ""
    write_text(_note(path), f"{path.stat().st_size} {before}\n")
    try:
        with open(path, "ab") as file:
            file.write(added)
        durable.sync(path)
    except OSError as error:
        undo_append(path)
        raise disk_error(path, error) from error
    digest.update(added)
    _seal(path, digest)
    _remove_note(path)


def replace_text(path: Path, text: str) -> None:
    """Write a file that may grow, as a whole, whether it exists or not."""
    try:
        undo_append(path)
    except seals.DamagedError:
        _remove_note(path)  # the file is written as a whole
    write_text(path, text, seal=True)
    _running[path] = _stamp(path), hashlib.sha256(text.encode())


def undo_append(path: Path) -> None:
    """Cut off what a killed writer has appended. No writer may be active.

    Raises:
        DamagedError: The note does not say how much that is.
    """
    note = _read_note(path)
    if note is None:
        return
    if path.is_file():
        if path.stat().st_size > note.length:
            os.truncate(path, note.length)
            durable.sync(path)
        if note.digest:
            seals.write_seal(path, note.digest)
        else:
            seals.seal_file(path).unlink(missing_ok=True)
    _remove_note(path)


def undo_appends(folder: Path) -> None:
    """Cut off what a killed writer has appended to the files of a folder; damaged ones stay as they are."""
    for note in folder.glob(".*.appending"):
        path = note.with_name(note.name.removeprefix(".").removesuffix(".appending"))
        with contextlib.suppress(seals.DamagedError):  # whoever reads the file says so
            undo_append(path)


def remove_appended(path: Path) -> None:
    """Remove a file that may grow, with its note and its seal."""
    _remove_note(path)
    seals.remove(path)


def read_appended(path: Path) -> bytes:
    """The content of a file that may be growing, without what is being appended.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedError: It is not what was written.
    """
    while True:
        before = _state(path)
        content = path.read_bytes()
        if _state(path) == before:
            break
    _, note, digests = before
    if note is not None:
        content = content[: note.length]
        digests = (note.digest,) if note.digest else ()
    if digests and hashlib.sha256(content).hexdigest() not in digests:
        raise seals.DamagedError(path, "damaged (its SHA-256 is not the one noted when it was written)")
    return content


def appended_length(path: Path) -> int:
    """The number of bytes that `read_appended` gives.

    Raises:
        FileNotFoundError: There is no such file.
    """
    (_, size, _), note, _ = _state(path)
    return size if note is None else min(size, note.length)


class _Note(NamedTuple):
    length: int
    digest: str
    """empty where the file had no seal"""


def _state(path: Path) -> tuple[Stamp, _Note | None, tuple[str, ...]]:
    """File, note and seal as they are at one moment."""
    while True:
        before = _stamp(path), _read_note(path), seals.sealed_digests(path)
        if (_stamp(path), _read_note(path), seals.sealed_digests(path)) == before:
            return before


def _stamp(path: Path) -> Stamp:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _digest_so_far(path: Path) -> Any:
    """The digest of a file under way; DamagedError where the file is not the one that was sealed."""
    stamp, running = _running.get(path, (None, None))
    if running is not None and stamp == _stamp(path):
        return running.copy()
    content = path.read_bytes()
    digest, sealed = hashlib.sha256(content), seals.sealed_digests(path)
    if sealed and digest.hexdigest() not in sealed:
        raise seals.DamagedError(path, "damaged (its SHA-256 is not the one noted when it was written)")
    return digest


def _seal(path: Path, digest: Any) -> None:
    seals.write_seal(path, digest.hexdigest())
    _running[path] = _stamp(path), digest


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.appending")


def _remove_note(path: Path) -> None:
    if _note(path).exists():
        _note(path).unlink()
        durable.sync(path.parent)


def _read_note(path: Path) -> _Note | None:
    """What the note says, or None without one."""
    try:
        words = _note(path).read_text(encoding="ascii").split()
        return _Note(int(words[0]), words[1] if len(words) > 1 else "")
    except FileNotFoundError:
        return None
    except (ValueError, IndexError):
        raise seals.DamagedError(path, f"damaged ({_note(path).name} does not say how much of it counts)") from None
