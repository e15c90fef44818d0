"""A disk without space, as far as a test can bring it about."""

import contextlib
import errno
import os
from collections.abc import Iterator
from typing import Any

import pytest


def no_space(*_: Any, **__: Any) -> None:
    """In place of a function that writes."""
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@contextlib.contextmanager
def limited_file_size() -> Iterator[None]:
    """No file may grow beyond 60 kB.

    Use it around the writing alone: pytest's own output may go to a file that is longer already.
    """
    resource = pytest.importorskip("resource", reason="this system does not limit the size of files")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
