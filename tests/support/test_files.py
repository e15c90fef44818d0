"""Atomic writes: a file is complete or not there at all."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from full_disk import limited_file_size, no_space
from small_runs import contents

from plopkit.support.files import atomic_write, write_arrays, write_table, write_text, write_torch


def test_the_old_file_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(path) as part:
        part.write_text("new")
        assert path.read_text() == "old"
        assert part.parent == path.parent  # os.replace is atomic within one file system only
    assert contents(tmp_path) == {"a.txt": b"new"}


def test_folders_are_made_but_an_empty_file_is_not(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "b" / "c" / "a.txt"):
        pass
    assert contents(tmp_path) == {}
    assert (tmp_path / "b" / "c").is_dir()


@pytest.mark.parametrize("error", [RuntimeError("a bug"), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")])
def test_after_any_failure_the_old_file_is_there_and_no_part(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail() -> None:
        with atomic_write(path) as part:
            part.write_text("half")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert contents(tmp_path) == {"a.txt": b"old"}


def test_a_failing_move_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", no_space)
        with pytest.raises(OSError, match=r"cannot be written .No space left") as raised:
            write_text(path, "new")
    assert str(raised.value).startswith(f"{path}: ")
    assert "what was finished is kept" in str(raised.value)
    assert contents(tmp_path) == {}
    write_text(path, "new")
    assert path.read_text() == "new"


def test_two_processes_write_to_different_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with atomic_write(tmp_path / "a.txt") as first:
        monkeypatch.setattr(os, "getpid", lambda: -1)
        with atomic_write(tmp_path / "a.txt") as second:
            assert first != second
            second.write_text("second")
        first.write_text("first")
    assert contents(tmp_path) == {"a.txt": b"first"}


def test_a_path_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match="a file or a folder is in the way"):
        write_text(tmp_path / "file" / "a.txt", "new")
    assert contents(tmp_path) == {"file": b"x"}


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.npz", "a.pt"])
def test_a_disk_that_fills_up_leaves_the_old_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    big = torch.rand(50_000)
    writers: dict[str, Callable[[], None]] = {
        "a.txt": lambda: write_text(path, "x" * 100_000),
        "a.csv": lambda: write_table(path, pd.DataFrame({"a": big.numpy()})),
        "a.npz": lambda: write_arrays(path, a=big.numpy()),
        "a.pt": lambda: write_torch(path, {"a": big}),
    }
    with pytest.raises(OSError, match=r"cannot be written \(.*\); free disk space") as raised, limited_file_size():
        writers[name]()
    assert str(raised.value).startswith(f"{path}: ")
    assert contents(tmp_path) == {name: b"old"}


def test_tables_are_written_with_six_digits(tmp_path: Path) -> None:
    write_table(tmp_path / "a.csv", pd.DataFrame({"a": [1 / 3, np.nan], "b": [1, 2]}))
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n0.333333,1\n,2\n"
