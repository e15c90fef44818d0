"""Atomic writes: a file is written under another name next to its place and then moved there, never half of it.

File and folder are synced to disk, so that the same holds after a power cut. `seal` also notes the file's SHA-256 next
to it (`plopkit.support.seals`).
"""

import contextlib
import glob
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plopkit.support import durable, seals

if TYPE_CHECKING:  # neither is needed to write a text
    import numpy as np
    import pandas as pd

AGAIN = "run the same command again: what was finished is kept"


def disk_error(path: object, error: OSError, advice: str = AGAIN, action: str = "written") -> OSError:
    """An error of the same type that says what to do where a disk is full or a folder may not be written.

    Args:
        path: The file or folder.
        error: What the operating system said.
        advice: What to do after freeing disk space or fixing the permissions.
        action: What failed, as a past participle.
    """
    return type(error)(
        f"{path}: cannot be {action} ({error.strerror or error}); free disk space or fix the permissions and {advice}"
    )


@contextlib.contextmanager
def atomic_write(path: Path, seal: bool = False) -> Iterator[Path]:
    """A path next to `path` to write to; it is moved to `path` at the end, or removed where anything fails.

    The file at this path must not be replaced by another one: it is locked while it is being written.

    Args:
        path: The file.
        seal: Whether to note its SHA-256 next to it.

    Raises:
        OSError: The file cannot be written; names it and says what to do.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        durable.make_parents(path)
        _remove(path.parent.glob(f".{glob.escape(path.name)}.*.part"))  # of this file, by killed processes
        with durable.being_written(part):
            yield part
            if part.stat().st_size:
                sealed = seal or seals.seal_file(path).exists()  # an old seal would no longer fit
                (seals.replace_sealed if sealed else durable.replace)(part, path)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise type(error)(f"{path}: a file or a folder is in the way; move it away, or name another place") from error
    except OSError as error:
        raise disk_error(path, error) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def remove_partial_files(folder: Path, below: bool = True) -> None:
    """Remove what killed writers left in a folder; what a living process is writing stays.

    Args:
        folder: The folder.
        below: Whether to look in the folders below it as well.
    """
    _remove(_partial_files(folder, below))


def has_partial_files(folder: Path) -> bool:
    """Whether killed writers left something in a folder or below."""
    return any(map(durable.is_abandoned, _partial_files(folder, True)))


def _partial_files(folder: Path, below: bool) -> list[Path]:
    return list((folder.rglob if below else folder.glob)(".*.part"))


def _remove(parts: Iterable[Path]) -> None:
    for part in filter(durable.is_abandoned, list(parts)):
        part.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """Make a folder, with its parents, where there is none yet.

    Raises:
        ValueError: A file is in its place.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{path}: a file is in the way; name a folder") from error


def write_text(path: Path, text: str, seal: bool = False) -> None:
    """Write UTF-8 text."""
    write_bytes(path, text.encode(), seal)


def write_bytes(path: Path, content: bytes, seal: bool = False) -> None:
    """Write bytes."""
    with atomic_write(path, seal) as part:
        part.write_bytes(content)


def table_text(table: "pd.DataFrame", header: bool = True) -> str:
    """A table as CSV with six digits after the point: the same numbers give the same text."""
    return table.to_csv(index=False, header=header, float_format="%.6f", lineterminator="\n")


def write_table(path: Path, table: "pd.DataFrame") -> None:
    """Write a table as CSV; see `table_text`."""
    write_text(path, table_text(table))


def write_torch(path: Path, value: Any, seal: bool = False) -> None:
    """Write what `torch.save` takes."""
    import torch

    with atomic_write(path, seal) as part:
        try:
            torch.save(value, part)
        except RuntimeError as error:  # torch's writer turns a full disk into this
            raise OSError(f"{error}") from error


def write_arrays(path: Path, seal: bool = False, **arrays: "np.ndarray") -> None:
    """Write arrays by name as a compressed .npz file."""
    import numpy as np

    with atomic_write(path, seal) as part, open(part, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
