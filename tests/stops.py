"""A process that is stopped at a chosen moment of its writing, as far as a test can bring it about."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plopkit.support import appending, files


class StoppedError(BaseException):
    """The process is gone: no `except Exception` may catch it."""


class Moments:
    """Counts the moments in which a process changes a file, and stops it before one of them.

    An append has two: before anything is written, and after half of it.
    """

    def __init__(self, last: float):
        self.last = last
        self.count = 0
        self.bytes: dict[str, int] = {}
        """bytes written by file name"""

    def pass_one(self) -> None:
        if self.count == self.last:
            raise StoppedError
        self.count += 1

    def wrote(self, path: Path, n_bytes: int) -> None:
        self.bytes[path.name] = self.bytes.get(path.name, 0) + n_bytes


class _Appending:
    """A file opened for appending."""

    def __init__(self, path: Path, moments: Moments):
        self.path, self.moments = path, moments

    def __enter__(self) -> "_Appending":
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def write(self, content: bytes) -> None:
        half = len(content) // 2
        for part in (content[:half], content[half:]):
            self.moments.pass_one()
            with open(self.path, "ab") as file:
                file.write(part)
        self.moments.wrote(self.path, len(content))


@contextlib.contextmanager
def stopping_at(moment: float) -> Iterator[Moments]:
    """Raise `StoppedError` before the moment of this number, from 0, in which plopkit moves, appends or removes a file."""
    moments = Moments(moment)
    replace, unlink = os.replace, Path.unlink

    def stopped_replace(source: Path, target: Path) -> None:
        moments.pass_one()
        moments.wrote(target, source.stat().st_size)
        replace(source, target)

    def stopped_unlink(path: Path, missing_ok: bool = False) -> None:
        if path.exists() and not path.name.endswith(".part"):
            moments.pass_one()
        unlink(path, missing_ok)

    def stopped_open(path: Path, mode: str) -> Any:
        assert mode == "ab"
        return _Appending(path, moments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files.os, "replace", stopped_replace)
        patch.setattr(Path, "unlink", stopped_unlink)
        patch.setattr(appending, "open", stopped_open, raising=False)
        yield moments
