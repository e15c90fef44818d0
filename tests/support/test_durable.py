"""What is on disk after a power cut, and which partial files are still being written."""

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import contents

from plopkit.support import durable
from plopkit.support.appending import append_text, replace_text
from plopkit.support.files import atomic_write, has_partial_files, remove_partial_files, write_text

Events = list[tuple[str, str]]


@pytest.fixture
def events(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Events:
    """What is synced and moved, by name."""
    happened: Events = []
    fsync, replace, unlink = os.fsync, os.replace, Path.unlink

    def name_of(handle: int) -> str:
        number = os.fstat(handle).st_ino
        return next(path.name for path in [tmp_path, *tmp_path.rglob("*")] if path.stat().st_ino == number)

    def watched_fsync(handle: int) -> None:
        happened.append(("sync", name_of(handle)))
        fsync(handle)

    def watched_replace(source: Path, target: Path) -> None:
        happened.append(("move", Path(target).name))
        replace(source, target)

    def watched_unlink(path: Path, missing_ok: bool = False) -> None:
        if path.exists():
            happened.append(("remove", path.name))
        unlink(path, missing_ok)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    monkeypatch.setattr(Path, "unlink", watched_unlink)
    return happened


def part(name: str) -> str:
    return f".{name}.{os.getpid()}.part"


def test_a_file_is_synced_before_it_is_moved_and_its_folder_after(tmp_path: Path, events: Events) -> None:
    write_text(tmp_path / "a.txt", "a")
    assert events == [("sync", part("a.txt")), ("move", "a.txt"), ("sync", tmp_path.name)]


def test_a_new_folder_is_synced_into_the_one_above(tmp_path: Path, events: Events) -> None:
    write_text(tmp_path / "b" / "c" / "a.txt", "a")
    assert {("sync", "b"), ("sync", tmp_path.name), ("sync", "c")} == {e for e in events if "a.txt" not in e[1]}
    assert events[-1] == ("sync", "c")


def test_the_seal_is_on_disk_before_its_file_is_moved(tmp_path: Path, events: Events) -> None:
    write_text(tmp_path / "a.txt", "a", seal=True)
    seal, folder = ".a.txt.sha256", ("sync", tmp_path.name)
    sealed = [("sync", part(seal)), ("move", seal), folder]
    moved = [("sync", part("a.txt")), ("move", "a.txt"), folder]
    assert events == [*sealed, *moved]
    events.clear()
    write_text(tmp_path / "a.txt", "b", seal=True)
    assert events == [*sealed, *moved, *sealed]  # with both digests, and then with the new one


def test_what_is_appended_is_on_disk_before_it_counts(tmp_path: Path, events: Events) -> None:
    path = tmp_path / "a.csv"
    replace_text(path, "first\n")
    events.clear()
    append_text(path, "second\n")
    note, seal, folder = ".a.csv.appending", ".a.csv.sha256", ("sync", tmp_path.name)
    assert events == [
        *[("sync", part(note)), ("move", note), folder],
        ("sync", "a.csv"),
        *[("sync", part(seal)), ("move", seal), folder],
        *[("remove", note), folder],
    ]


def test_a_file_system_that_does_not_sync_folders_is_used_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def refuse(handle: int) -> None:
        if os.fstat(handle).st_ino == tmp_path.stat().st_ino:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        real(handle)

    monkeypatch.setattr(os, "fsync", refuse)
    write_text(tmp_path / "a.txt", "a")
    assert contents(tmp_path) == {"a.txt": b"a"}


def test_a_failing_sync_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    write_text(tmp_path / "a.txt", "old", seal=True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match=r"a\.txt: cannot be written \(Input/output error\)"):
            write_text(tmp_path / "a.txt", "new", seal=True)
    assert contents(tmp_path) == {"a.txt": b"old"}


# Partial files


def write_in_another_process(folder: Path) -> subprocess.Popen[str]:
    """A process that is writing a file in this folder until it is killed."""
    code = (
        "import sys; from pathlib import Path; from plopkit.support.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1]) / 'a.txt') as part:\n"
        "    part.write_text('half'); print('writing', flush=True); sys.stdin.read()"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    words = [sys.executable, "-c", code, str(folder)]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    return process


def test_only_files_that_nobody_is_writing_are_removed(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    with write_in_another_process(tmp_path / "below") as process, atomic_write(tmp_path / "b.txt") as own:
        try:
            (tmp_path / ".c.txt.99.part").write_text("of a killed process")
            assert has_partial_files(tmp_path)
            remove_partial_files(tmp_path)
            assert not has_partial_files(tmp_path)
            (of_other,) = (tmp_path / "below").iterdir()
            assert of_other.read_text() == "half"
            assert own.is_file() and len(contents(tmp_path)) == 2
        finally:
            process.kill()
    assert of_other.is_file()
    remove_partial_files(tmp_path, below=False)
    assert of_other.is_file()
    remove_partial_files(tmp_path)
    assert contents(tmp_path) == {}


def test_the_next_write_of_a_file_removes_what_a_killed_one_left(tmp_path: Path) -> None:
    """A report and its pictures are in folders that no run cleans up."""
    mine, others = tmp_path / ".report[1].html.99999.part", tmp_path / ".other.html.99999.part"
    for part in (mine, others):
        part.touch()
    write_text(tmp_path / "report[1].html", "a")
    assert not mine.exists()
    assert others.exists()


def test_without_locks_a_partial_file_is_removed_when_it_is_a_day_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file system without locks, and Windows."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    patches: list[Callable[[pytest.MonkeyPatch], None]] = [
        lambda patch: patch.setattr(durable.fcntl, "flock", refuse),
        lambda patch: patch.setattr(durable, "fcntl", None),
    ]
    for change in patches:
        with monkeypatch.context() as patch:
            change(patch)
            write_text(tmp_path / "a.txt", "a")
            young, old = tmp_path / ".b.txt.1.part", tmp_path / ".b.txt.2.part"
            young.touch()
            old.touch()
            os.utime(old, (0, 0))
            remove_partial_files(tmp_path)
            assert sorted(contents(tmp_path)) == [young.name, "a.txt"]
