"""Files written beside their place and then moved there: never half of one."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch


@contextlib.contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """A path beside ``path`` to write to; moved there at the end if it was written, removed where anything fails."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
        mode = part.stat().st_mode
        yield part
        if part.stat().st_size:
            part.chmod(mode)  # safetensors makes a file that only its owner may read
            os.replace(part, path)
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise type(error)(f"{path}: a file or a folder is in the way; name another place") from error
    except OSError as error:
        raise type(error)(
            f"{path}: cannot be written ({error.strerror or error}); make room or mend the rights and run the same "
            "command again: what was finished is kept"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what writers that were killed left half written in ``folder`` and below. None may be at work there."""
    for part in folder.rglob(".*.part"):
        part.unlink(missing_ok=True)


def make_folder(path: Path) -> None:
    """A folder, where there is none yet; ValueError where a file has its place."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ValueError(f"{path}: a file is in the way; name a folder") from error


def write_text(path: Path, text: str) -> None:
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def write_table(path: Path, table: pd.DataFrame) -> None:
    """CSV with six digits after the point: the same numbers give the same bytes."""
    write_text(path, table.to_csv(index=False, float_format="%.6f", lineterminator="\n"))


def write_torch(path: Path, value: Any) -> None:
    with atomic_write(path) as part:
        try:
            torch.save(value, part)
        except RuntimeError as error:  # torch's writer turns a full disk into this
            raise OSError(f"{error}") from error


def write_arrays(path: Path, **arrays: np.ndarray) -> None:
    with atomic_write(path) as part, open(part, "wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
