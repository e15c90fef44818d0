"""A process that is stopped at a chosen moment of its writing, as far as a test can bring it about.

A moment is a change to a file that others see: a file moved to its place or removed, half of an append, and the rest.
"""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from small_runs import contents

from plopkit.support import appending, files


class StoppedError(BaseException):
    """The process is gone: no `except Exception` may catch it."""


@contextlib.contextmanager
def watching(change: Callable[[Path, int], None]) -> Iterator[None]:
    """Call a function before each change to a file, with the file and the number of bytes that will be written."""
    replace, unlink = os.replace, Path.unlink

    class Appending:
        """A file opened for appending."""

        def __init__(self, path: Path, mode: str):
            assert mode == "ab"
            self.path = path

        def __enter__(self) -> "Appending":
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def write(self, content: bytes) -> None:
            half = len(content) // 2
            for part in (content[:half], content[half:]):
                change(self.path, len(part))
                with open(self.path, "ab") as file:
                    file.write(part)

    def watched_replace(source: Path, target: Path) -> None:
        change(target, source.stat().st_size)
        replace(source, target)

    def watched_unlink(path: Path, missing_ok: bool = False) -> None:
        if path.exists() and path.suffix != ".part":
            change(path, 0)
        unlink(path, missing_ok)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "replace", watched_replace)
        patch.setattr(Path, "unlink", watched_unlink)
        patch.setattr(appending, "open", Appending, raising=False)
        yield


@contextlib.contextmanager
def stopping_at(moment: int) -> Iterator[None]:
    """Raise `StoppedError` before the moment with this number, from 0."""
    passed: list[Any] = []

    def count(path: Path, n_bytes: int) -> None:
        if len(passed) == moment:
            raise StoppedError
        passed.append(path)

    with watching(count):
        yield


@contextlib.contextmanager
def recording(folder: Path) -> Iterator[list[dict[str, bytes]]]:
    """The content of a folder before each moment: what a process leaves there that is killed then."""
    moments: list[dict[str, bytes]] = []
    with watching(lambda *_: moments.append(contents(folder, seals=True))):
        yield moments


@contextlib.contextmanager
def counting() -> Iterator[dict[str, int]]:
    """The bytes written, by the names of the files."""
    written: dict[str, int] = {}

    def count(path: Path, n_bytes: int) -> None:
        written[path.name] = written.get(path.name, 0) + n_bytes

    with watching(count):
        yield written
