"""Files that grow: a reader gets whole appends only, whenever the writer is stopped and whenever the reader looks."""

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from full_disk import limited_file_size
from small_runs import contents
from stops import StoppedError, stopping_at

from plopkit.support import appending, seals
from plopkit.support.appending import (
    append_text,
    appended_length,
    read_appended,
    remove_appended,
    replace_text,
    undo_append,
)
from plopkit.support.files import write_text
from plopkit.support.seals import DamagedError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with one line."""
    write_text(tmp_path / "a.csv", "first\n")
    return tmp_path / "a.csv"


def test_text_is_appended(path: Path) -> None:
    append_text(path, "zweite é\n")
    append_text(path, "third\n")
    assert contents(path.parent) == {"a.csv": "first\nzweite é\nthird\n".encode()}
    assert read_appended(path) == path.read_bytes()
    assert appended_length(path) == len(path.read_bytes())


def test_a_writer_stopped_anywhere_has_appended_all_or_nothing(path: Path) -> None:
    """The next append continues after what counts; one that was lost can be made again."""
    for place in itertools.count():
        before = read_appended(path)
        try:
            with stopping_at(place):
                append_text(path, f"line {place}\n")
        except StoppedError:
            assert read_appended(path) == before
            assert appended_length(path) == len(before)
            append_text(path, f"line {place}\n")
        else:
            break
        assert read_appended(path) == path.read_bytes() == before + f"line {place}\n".encode()
    assert place == 5  # the note, half of the text, the text, its seal, and removing the note
    assert len(contents(path.parent)) == 1


def test_a_file_is_replaced_wherever_an_append_was_stopped(path: Path) -> None:
    for place in range(5):
        with pytest.raises(StoppedError), stopping_at(place):
            append_text(path, "second\n")
        replace_text(path, "new\n")
        assert read_appended(path) == b"new\n"
        assert appended_length(path) == 4
        path.unlink()
        undo_append(path)
        replace_text(path, "first\n")
    assert contents(path.parent) == {"a.csv": b"first\n"}


def test_a_file_shorter_than_its_note_is_another_one(path: Path) -> None:
    """Somebody has replaced the file by hand after a writer was killed."""
    with pytest.raises(StoppedError), stopping_at(2):
        append_text(path, "second\n")
    path.write_text("new\n")
    assert read_appended(path) == b"new\n"
    assert appended_length(path) == 4
    append_text(path, "more\n")
    assert path.read_text() == "new\nmore\n"


@pytest.mark.parametrize("n_before", range(5))
@pytest.mark.parametrize("n_between", range(5))
def test_a_reader_gets_whole_appends_at_any_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, n_before: int, n_between: int
) -> None:
    """A writer takes some steps before a reader looks at the file, and some before it looks at the note."""

    def writer() -> Iterator[None]:
        for line in ("second\n", "third\n"):
            write_text(path.with_name(".a.csv.appending"), str(path.stat().st_size))
            yield
            for part in (line[:3], line[3:]):
                with open(path, "a") as file:
                    file.write(part)
                yield
            path.with_name(".a.csv.appending").unlink()
            yield

    states = writer()
    for _ in range(n_before):
        next(states)
    original = appending._read_note

    def later(file: Path) -> Any:
        for _ in range(n_between if moves else 0):
            next(states, None)
        moves.clear()
        return original(file)

    monkeypatch.setattr(appending, "_read_note", later)
    whole = [b"first\n", b"first\nsecond\n", b"first\nsecond\nthird\n"]
    moves = [True]
    assert read_appended(path) in whole
    moves.append(True)
    length = appended_length(path)
    assert length in map(len, whole)
    if length == len(whole[-1]):  # said to be finished: it is
        assert read_appended(path) == whole[-1]


@pytest.mark.parametrize("place", range(5))
def test_a_changed_bit_is_noticed(path: Path, place: int) -> None:
    """By readers and by the next writer, wherever the last one was stopped."""
    replace_text(path, "first\n")
    append_text(path, "second\n")
    with pytest.raises(StoppedError), stopping_at(place):
        append_text(path, "third\n")
    assert read_appended(path) == b"first\nsecond\n"
    path.write_bytes(b"f" + path.read_bytes()[1:])
    assert read_appended(path) == b"first\nsecond\n"  # the same again
    path.write_bytes(b"F" + path.read_bytes()[1:])
    for use in (read_appended, lambda path: append_text(path, "third\n")):
        with pytest.raises(DamagedError, match=r"a\.csv: damaged \(.*; run the command of this run again"):
            use(path)
    replace_text(path, "new\n")
    append_text(path, "second\n")
    assert read_appended(path) == b"new\nsecond\n"
    remove_appended(path)
    assert contents(path.parent, seals=True) == {}


def test_a_file_without_a_seal_gets_one_when_it_grows(path: Path) -> None:
    append_text(path, "second\n")
    assert seals.sealed_digests(path) == (seals.digest_of(path),)


def test_a_damaged_note_is_noticed(path: Path) -> None:
    replace_text(path, "first\n")
    with pytest.raises(StoppedError), stopping_at(2):
        append_text(path, "second\n")
    path.with_name(".a.csv.appending").write_text("?")
    with pytest.raises(DamagedError, match=r"a\.csv: damaged \(\.a\.csv\.appending does not say"):
        read_appended(path)
    replace_text(path, "new\n")
    assert read_appended(path) == b"new\n"


def test_appending_reads_nothing_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process that has written a file goes on from the digest that it has."""
    replace_text(path, "first\n")
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} is read"))
    for line in ("second\n", "third\n"):
        append_text(path, line)
    assert seals.sealed_digests(path) == (hashlib.sha256(b"first\nsecond\nthird\n").hexdigest(),)


def test_a_full_disk_leaves_the_file_as_it_was(path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.csv: cannot be written \(.*\); free disk space"), limited_file_size():
        append_text(path, 100_000 * "x")
    assert contents(path.parent) == {"a.csv": b"first\n"}


def test_nothing_is_appended_to_a_missing_file(tmp_path: Path) -> None:
    for use in (read_appended, appended_length, lambda path: append_text(path, "a")):
        with pytest.raises(FileNotFoundError):
            use(tmp_path / "a.csv")
    assert os.listdir(tmp_path) == []
