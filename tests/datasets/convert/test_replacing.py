"""A folder is made as a whole or not at all, and replaced only where it is as it was made."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from plopkit.datasets.convert.replacing import made_whole


def make(root: Path, **files: str) -> None:
    with made_whole(root, {"format": "test"}) as folder:
        (folder / "masks").mkdir()
        for name, text in files.items():
            (folder / "masks" / name).write_text(text, encoding="utf-8")
        (folder / "train.txt").write_text("a\n", encoding="utf-8")


def state(root: Path) -> dict[str, str]:
    return {path.name: path.read_text(encoding="utf-8") for path in (root / "masks").iterdir()}


def test_a_second_call_replaces_the_first(tmp_path: Path) -> None:
    make(tmp_path / "deep" / "root", a="1", b="2")
    make(tmp_path / "deep" / "root", a="3")
    assert state(tmp_path / "deep" / "root") == {"a": "3"}
    assert [entry.name for entry in (tmp_path / "deep").iterdir()] == ["root"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    make(tmp_path / "root", a="1")

    def fail() -> None:
        with made_whole(tmp_path / "root", {}) as folder:
            (folder / "half").write_text("", encoding="utf-8")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert state(tmp_path / "root") == {"a": "1"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["root"]


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    make(tmp_path / "root", a="1")
    assert state(tmp_path / "root") == {"a": "1"}


def test_what_others_made_or_changed_is_kept(tmp_path: Path) -> None:
    root = tmp_path / "root"
    make(root, a="1")
    for name, message in (
        ("masks/a", "was changed since"),
        ("train.txt", "was changed since"),
        ("masks/new", "has not made this"),
    ):
        path = root / name
        before = path.read_text(encoding="utf-8") if path.exists() else None
        path.write_text("by hand", encoding="utf-8")
        with pytest.raises(ValueError, match=rf"{path.name}: .*{message}.*name another folder with -o"):
            make(root, a="2")
        assert path.read_text(encoding="utf-8") == "by hand"
        if before is None:
            path.unlink()
        else:
            path.write_text(before, encoding="utf-8")
    make(root, a="2")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "photo.jpg").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="it exists, and data convert has not made it"):
        make(tmp_path / "other")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(ValueError, match="it exists, and data convert has not made it"):
        make(tmp_path / "file")


def test_leftovers_of_a_killed_process_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / ".root.converting" / "masks").mkdir(parents=True)
    (tmp_path / ".root.converting" / "masks" / "old").write_text("", encoding="utf-8")
    make(tmp_path / "root", a="1")
    assert state(tmp_path / "root") == {"a": "1"}
    os.rename(tmp_path / "root", tmp_path / ".root.replaced")  # killed between two moves
    with pytest.raises(RuntimeError), made_whole(tmp_path / "root", {}):
        raise RuntimeError
    assert state(tmp_path / "root") == {"a": "1"}


def test_two_processes_do_not_write_the_same_folder(tmp_path: Path) -> None:
    (tmp_path / ".root.converting").mkdir()
    with (
        FileLock(tmp_path / ".root.converting" / ".lock"),
        pytest.raises(ValueError, match="another process is writing it"),
    ):
        make(tmp_path / "root", a="1")
    assert not (tmp_path / "root").exists()
