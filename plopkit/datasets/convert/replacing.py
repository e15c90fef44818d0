"""A folder that is made as a whole or not at all, and replaced only where it is as it was made."""

import contextlib
import errno
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from plopkit.datasets.convert.images import MANIFEST, is_hidden
from plopkit.datasets.convert.reading import read_json
from plopkit.support import durable
from plopkit.support.files import disk_error

DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextlib.contextmanager
def made_whole(root: Path, facts: Mapping[str, Any]) -> Iterator[Path]:
    """A folder next to `root` to write to; it becomes `root` at the end, or is removed where anything fails.

    Args:
        root: The folder.
        facts: What made it, for its manifest.

    Raises:
        ValueError: `root` exists and was not made so, or was changed since.
        OSError: The disk is full, or the folder may not be written.
    """
    part, old = (root.with_name(f".{root.name}.{word}") for word in ("converting", "replaced"))
    if old.exists() and not root.exists():  # it was interrupted between two moves
        os.rename(old, root)
    check_replaceable(root)
    try:
        durable.make_parents(part)
        part.mkdir(exist_ok=True)
        lock = FileLock(part / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise ValueError(f"{root}: another process is writing it; wait for it, or name another folder") from error
        try:
            _empty(part)
            yield part
            _write_manifest(part, facts)
            lock.release()
            (part / ".lock").unlink(missing_ok=True)  # Windows moves no folder with an open file
            if root.exists():
                shutil.rmtree(old, ignore_errors=True)
                os.rename(root, old)
            os.rename(part, root)
            durable.sync(root.parent)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            lock.release(force=True)
            shutil.rmtree(part, ignore_errors=True)
    except OSError as error:
        if error.errno in DISK or str(part) in str(error.filename):
            raise disk_error(root, error) from error
        raise


def check_replaceable(root: Path) -> None:
    """Check that a folder may be replaced: it is empty, or every file in it is as it was made.

    Raises:
        ValueError: It may not.
    """
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return
    if not (root / MANIFEST).is_file():
        raise ValueError(f"{root}: it exists, and data convert has not made it; name another folder with -o")
    listed = read_json(root / MANIFEST)["files"]
    advice = "move it away, or name another folder with -o"
    for path in _files(root):
        name = path.relative_to(root).as_posix()
        if name not in listed:
            raise ValueError(f"{path}: data convert has not made this file, and would replace its folder; {advice}")
        if path.exists() and _digest(path) != listed[name]:
            raise ValueError(f"{path}: it was changed since data convert made it; {advice}")


def _write_manifest(folder: Path, facts: Mapping[str, Any]) -> None:
    files = {path.relative_to(folder).as_posix(): _digest(path) for path in _files(folder)}
    text = json.dumps({**facts, "files": files}, indent=0, ensure_ascii=False)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def _files(folder: Path) -> list[Path]:
    paths = (path for path in folder.rglob("*") if path.is_symlink() or path.is_file())
    return sorted(path for path in paths if not is_hidden(path.name) and path.name != MANIFEST)


def _digest(path: Path) -> str:
    """Of an image its size, because images are large and can be had again; of masks and lists their content."""
    if path.parent.name == "images":
        return f"{path.stat().st_size} bytes"
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == ".lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
