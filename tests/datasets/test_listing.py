"""The state of many files, against asking for each of them."""

import os
from pathlib import Path

import pytest

from plopkit.datasets.listing import FileState, file_states


def asked(path: Path) -> FileState | None:
    if not path.is_file():
        return None
    found = path.stat()
    return FileState(str(path.resolve()), found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino)


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Files, links to files and folders, and what is missing."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name * 3, encoding="utf-8")
    (tmp_path / "a" / "broken").symlink_to(tmp_path / "nowhere")
    (tmp_path / "a" / "link").symlink_to(tmp_path / "b" / "file")
    (tmp_path / "linked").symlink_to(tmp_path / "b")
    (tmp_path / "outside").write_text("outside", encoding="utf-8")
    os.utime(tmp_path / "outside", ns=(1, 123_456_789_012_345_678))
    names = ("a/file", "b/file", "a/link", "a/broken", "a/missing", "linked/file", "a", "nowhere/file", "outside")
    return [tmp_path / name for name in (*names, "a/../b/file", "a/nul\0l")]


def test_states_are_those_of_each_file(files: list[Path]) -> None:
    expected = [asked(path) for path in files[:-1]] + [None]
    assert file_states(list(map(str, files))) == expected
    assert [state is None for state in expected] == [0, 0, 0, 1, 1, 0, 1, 1, 0, 0, 1]


def test_relative_paths_and_none(files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert file_states(["outside", "a/file", "missing"]) == [asked(tmp_path / "outside"), asked(files[0]), None]
    assert file_states([]) == []


def test_a_file_that_the_listing_lacks_is_asked_for(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """As where a file system ignores case: the name that is asked for is not the one that is listed."""
    scandir = os.scandir

    def nothing(path: str):
        entries = scandir(path)
        list(entries)
        return entries

    monkeypatch.setattr(os, "scandir", nothing)
    assert file_states(list(map(str, files[:-1]))) == [asked(path) for path in files[:-1]]
