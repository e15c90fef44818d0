"""Seals: no changed file passes, and a kill at any moment leaves a file that agrees with its seal."""

import itertools
import os
import pickle
import subprocess
from pathlib import Path

import pytest
from small_runs import contents
from stops import StoppedError, recording, stopping_at

from plopkit.support import seals
from plopkit.support.files import write_text
from plopkit.support.seals import DamagedError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A sealed file."""
    write_text(tmp_path / "a ü.txt", "content", seal=True)
    return tmp_path / "a ü.txt"


def test_a_changed_file_is_refused_with_what_to_do(path: Path) -> None:
    seals.check(path)
    for content in (b"", b"conten", b"contenT", b"content\n"):
        path.write_bytes(content)
        assert not seals.is_intact(path)
        with pytest.raises(DamagedError) as raised:
            seals.check(path, "take another")
        assert str(raised.value).startswith(f"{path}: damaged (") and str(raised.value).endswith("; take another")
        assert raised.value.path == path
    path.unlink()
    with pytest.raises(FileNotFoundError):
        seals.check(path)


def test_the_error_passes_from_process_to_process(path: Path) -> None:
    error = DamagedError(path, "damaged", "take another")
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.path, copy.problem) == (DamagedError, str(error), path, "damaged")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="POSIX has pipes among the files")
def test_a_seal_that_never_ends_counts_as_none(path: Path) -> None:
    seal = seals.seal_file(path)
    seal.write_bytes(b"0" * 64 + b"  " + b"a" * 2**16)
    assert seals.sealed_digests(path) == ()
    seal.unlink()
    os.mkfifo(seal)  # reading it would wait forever
    assert seals.sealed_digests(path) == ()


def test_sha256sum_checks_a_seal(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "content", seal=True)
    try:
        done = subprocess.run(
            ["sha256sum", "--check", ".a.txt.sha256"], cwd=tmp_path, capture_output=True, text=True, check=True
        )
    except FileNotFoundError:
        pytest.skip("there is no sha256sum")
    assert done.stdout == "a.txt: OK\n"


@pytest.mark.parametrize("seal", [None, b"", b"\xff\xfe", b"0" * 63 + b"  a.txt\n", b"0" * 64 + b"\n"])
def test_what_is_no_seal_counts_as_none(path: Path, seal: bytes | None) -> None:
    """A file of an earlier version, and a seal that is damaged itself."""
    if seal is None:
        seals.seal_file(path).unlink()
    else:
        seals.seal_file(path).write_bytes(seal)
    path.write_text("other")
    seals.check(path)
    write_text(path, "new", seal=True)
    assert seals.sealed_digests(path) == (seals.digest_of(path),)


def test_a_sealed_file_stays_sealed(path: Path) -> None:
    write_text(path, "new")
    seals.check(path)
    assert seals.sealed_digests(path) == (seals.digest_of(path),)


def test_a_writer_stopped_anywhere_leaves_a_file_that_agrees_with_its_seal(path: Path) -> None:
    for place in itertools.count():
        try:
            with stopping_at(place):
                write_text(path, f"new {place}", seal=True)
        except StoppedError:
            seals.check(path)
            with pytest.raises(StoppedError), stopping_at(0):  # and once more
                write_text(path, "never", seal=True)
            seals.check(path)
        else:
            break
    assert place == 3  # the seal with both digests, the file, the seal with the new one
    seals.settle(path.parent)
    assert seals.sealed_digests(path) == (seals.digest_of(path),)


def test_what_kills_leave_in_excess_is_removed(tmp_path: Path) -> None:
    """Recorded at each moment of writing a file and of replacing it."""
    folder, path = tmp_path / "a", tmp_path / "a" / "b" / "c.txt"
    with recording(folder) as moments:
        for text in ("first", "second"):
            write_text(path, text, seal=True)
    assert len(moments) == 5
    for left in moments:
        for name, content in left.items():
            place = tmp_path / "left" / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(content)
        for part in (tmp_path / "left").rglob("*.part"):
            part.unlink()
        seals.settle(tmp_path / "left")
        found = contents(tmp_path / "left", seals=True)
        assert len(found) in (0, 2)
        for file in (tmp_path / "left").rglob("c.txt"):
            assert seals.sealed_digests(file) == (seals.digest_of(file),)
            file.unlink()
            seals.seal_file(file).unlink()


def test_a_file_is_removed_with_its_seal(path: Path) -> None:
    seals.remove(path)
    assert contents(path.parent, seals=True) == {}
    seals.remove(path)
