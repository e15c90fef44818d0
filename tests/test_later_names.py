"""The tables of docs/fidelity.md that name the call for each golden array of the later methods, executed as written."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from released import numbers_of, part_of
from torch import Tensor

import plopkit
import plopkit.binary
import plopkit.contrast
import plopkit.cube
import plopkit.fusion
import plopkit.losses
import plopkit.memory
import plopkit.methods.rcil
import plopkit.metrics
import plopkit.model.released_branches
import plopkit.model.sigmoid
import plopkit.model.upsampling
import plopkit.optimizer
import plopkit.prototypes
import plopkit.replay
import plopkit.unknown

TEXT = (Path(__file__).parents[1] / "docs" / "fidelity.md").read_text(encoding="utf-8")
TABLE = re.compile(r"^\| `(\w+)\.npz` \| call \|\n\|---\|---\|\n((?:\|.*\n)+)", re.MULTILINE)
ROW = re.compile(r"^\| `(.+?)` \| `(.+)` \|$")


def rows_of(table: str) -> list[tuple[str, str]]:
    """(golden array, call) of each row."""
    found = [ROW.match(line) for line in table.splitlines()]
    assert all(found), table
    return [row.groups() for row in found if row]  # type: ignore[misc]


TABLES = {match[1]: rows_of(match[2]) for match in TABLE.finditer(TEXT)}


def cases() -> Iterator[Any]:
    """Every case of a golden file that has an array of the file's table."""
    for file, rows in TABLES.items():
        numbers = numbers_of(f"later/{file}")
        for case in dict.fromkeys(name.partition("/")[0] for name in numbers):
            if any(arrays_of(array, part_of(numbers, case)) for array, _ in rows):
                yield pytest.param(file, case, id=f"{file}-{case}")


def arrays_of(array: str, numbers: dict[str, Tensor]) -> list[str]:
    """The arrays of a case that a row is about; NAME stands for each tensor that is there before and after a step."""
    if "NAME" in array:
        found = [array.replace("NAME", name) for name in part_of(numbers, "before")]
    else:
        found = [array]
    return [name for name in found if name in numbers]


def gradient(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    at = at.clone().requires_grad_()
    return torch.autograd.grad(function(at), at)[0]


def arguments(numbers: dict[str, Tensor]) -> dict[str, Any]:
    """The names that a call may use."""
    values: dict[str, Any] = {part: part_of(numbers, part) for part in ("before", "after", "state", "trained_2")}
    for name, value in numbers.items():
        if "labels" in name:
            value = value.long()
        values[name] = int(value) if not value.dtype.is_floating_point and not value.ndim else value
    return values | {"plopkit": plopkit, "torch": torch, "gradient": gradient}


def test_every_method_has_its_table() -> None:
    assert set(TABLES) >= {"ewf", "reminder", "rcil", "ucd", "alife", "dkd", "ssul", "star"}


@pytest.mark.parametrize(("file", "case"), list(cases()))
def test_every_row_is_true(file: str, case: str) -> None:
    numbers = part_of(numbers_of(f"later/{file}"), case)
    known = arguments(numbers)
    for array, call in TABLES[file]:
        if array.endswith(" ="):
            known[array.removesuffix(" =")] = eval(call, known)
        for name in arrays_of(array, numbers):
            found = eval(call.replace("NAME", name.partition("/")[2]), known)
            found = torch.as_tensor(found).detach().to(numbers[name])
            torch.testing.assert_close(found, numbers[name], rtol=1e-5, atol=1e-5, msg=f"{name} differs")
