"""`~` is understood, a missing home directory is explained, and strangers' files are read with a limit."""

import os
from pathlib import Path

import pytest

from plopkit.support.places import expanded, home, read_limited


def test_the_home_directory_is_put_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert expanded("~/voc") == Path("/home/ada/voc")
    assert expanded(Path("~")) == home() == Path("/home/ada")
    assert expanded("data/~") == Path("data/~")


def test_a_home_directory_that_is_nobodys_is_an_error() -> None:
    with pytest.raises(
        ValueError, match=r"~nobody-at-all/voc: the home directory .* write the path in full, or set HOME"
    ):
        expanded("~nobody-at-all/voc")


def test_there_may_be_no_home_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    assert home() is None


def test_a_file_is_read_up_to_a_limit(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(b"12345")
    assert read_limited(path, 5, "a list") == b"12345"
    with pytest.raises(ValueError, match=r"a\.txt: 5 bytes, but a list has at most 4; is it the right file"):
        read_limited(path, 4, "a list")
    with pytest.raises(FileNotFoundError):
        read_limited(tmp_path / "none", 4, "a list")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="pipe: not a plain file, but a list is one"):
        read_limited(tmp_path / "pipe", 4, "a list")
    with pytest.raises(ValueError, match="not a plain file"):
        read_limited(tmp_path, 4, "a list")
