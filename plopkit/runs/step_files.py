"""How the files of a step are written and read: sealed, and a `DamagedError` where they cannot be read."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from plopkit.support import seals
from plopkit.support.files import write_bytes, write_text
from plopkit.support.printable import one_line
from plopkit.support.seals import DamagedError
from plopkit.support.torch_files import read_safetensors, safetensors_bytes

Ticks = list[dict[str, Any]]
"""Ticks as plain values."""
AGAIN = "run the command of this run again: the step is trained again"


def save_ticks(path: Path, ticks: Ticks) -> None:
    """Write ticks, all of a step or of an epoch."""
    write_text(path, json.dumps(ticks), seal=True)


def load_ticks(path: Path) -> Ticks:
    """What `save_ticks` has written; DamagedError where the file is damaged or missing."""
    try:
        seals.check(path, AGAIN)
        ticks = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(ticks, list):
            raise ValueError("no list")
        return ticks
    except FileNotFoundError:
        raise DamagedError(path, "missing", AGAIN) from None
    except DamagedError:
        raise
    except (ValueError, RecursionError) as error:
        raise DamagedError(path, f"not readable ({one_line(error)})", AGAIN) from error


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, str] | None = None) -> None:
    """Write tensors by name, and texts about them."""
    # As bytes: `save_file` makes a temporary file of its own, and a killed process leaves it.
    write_bytes(path, safetensors_bytes(tensors, about), seal=True)


def load_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors that `save_tensors` has written.

    Raises:
        DamagedError: where they are damaged.
        OSError: where the file cannot be opened.
    """
    seals.check(path, AGAIN)
    try:
        return read_safetensors(path)
    except ValueError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> DamagedError:
    """The error about a checkpoint that is none."""
    return DamagedError(path, f"not a readable checkpoint ({one_line(error)})", AGAIN)
