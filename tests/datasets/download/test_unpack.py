"""Archives that are damaged or malicious leave nothing behind."""

import bz2
import gzip
import lzma
import tarfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import pytest
from downloads import BYTES, KINDS, packed
from small_runs import contents

from plopkit.datasets.download.unpack import unpack


@pytest.mark.parametrize("name", KINDS)
def test_a_folder_comes_out_of_an_archive(name: str, tmp_path: Path) -> None:
    archive = tmp_path / name
    archive.write_bytes(packed({"./top/sub/a.txt": b"a", "./top/sub/b/c.txt": b"c", "./top/other": b"o"}, name))
    into = tmp_path / "into"
    assert unpack(archive, Path("top", "sub"), into) == into / "top" / "sub"
    assert contents(into) == {"top/sub/a.txt": b"a", "top/sub/b/c.txt": b"c"}
    with pytest.raises(
        FileExistsError, match=r"top.sub exists, but .* is to be unpacked there; complete it, or move it away"
    ):
        unpack(archive, Path("top", "sub"), into)


@pytest.mark.parametrize("name", KINDS)
def test_only_what_matches_the_patterns_comes_out(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(packed({"top/a.txt": b"a", "top/b.jpg": b"b", "top/c/d.txt": b"d"}, name, "top/link"))
    unpack(tmp_path / name, Path("top"), tmp_path / "into", ("*.txt",))
    assert contents(tmp_path / "into") == {"top/a.txt": b"a", "top/c/d.txt": b"d"}


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("evil", ["../evil", "top/../../evil", "/tmp/evil-of-plopkit", "top\\..\\..\\evil", "C:/evil"])
def test_a_name_that_leads_outside_is_refused(evil: str, name: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    archive = tmp_path / "in" / name
    archive.write_bytes(packed({"top/a.txt": b"a", evil: b"evil"}, name))
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=r"leads out of the target folder; do not trust this archive"):
        unpack(archive, Path("top"), tmp_path / "in", ("top/a*",))
    assert contents(tmp_path) == before
    assert not Path("/tmp/evil-of-plopkit").exists()


@pytest.mark.parametrize("name", KINDS)
def test_a_link_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(packed({"top/a.txt": b"a"}, name, "top/link"))
    before = contents(tmp_path)
    with pytest.raises(
        ValueError,
        match="'top/link' is a link or a device, but a data set has plain files only; do not trust this archive",
    ):
        unpack(tmp_path / name, Path("top"), tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_a_broken_archive_leaves_nothing(share: float, name: str, tmp_path: Path) -> None:
    content = packed({"top/a.bin": BYTES, "top/b.bin": BYTES}, name)
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=rf"{name}: damaged or truncated .*; delete it and get it again"):
        unpack(tmp_path / name, Path("top"), tmp_path)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["a.tar", "a.tgz"])
@pytest.mark.parametrize("end", ["", "\0" * 511, "top/b.bin", "top/b.bin" + "\0" * 503], ids=range(4))
def test_a_tar_truncated_in_or_before_a_header_leaves_nothing(end: str, name: str, tmp_path: Path) -> None:
    """tarfile mistakes that for the end."""
    whole = packed({"top/a.bin": BYTES[:1024]}, "a.tar")[: 3 * 512] + end.encode()
    (tmp_path / name).write_bytes(gzip.compress(whole) if name == "a.tgz" else whole)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=rf"{name}: damaged or truncated .*; delete it and get it again"):
        unpack(tmp_path / name, Path("top"), tmp_path)
    assert contents(tmp_path) == before
    unpack(tmp_path / name, Path("top"), tmp_path, verified=True)  # its checksum proves that it is complete
    assert (tmp_path / "top" / "a.bin").read_bytes() == BYTES[:1024]


def test_the_wrong_archive_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(packed({"top/a": b"a"}, "a.tar"))
    with pytest.raises(ValueError, match=r"a.tar: it contains no VOCdevkit.VOC2012; is it the right archive\?"):
        unpack(tmp_path / "a.tar", Path("VOCdevkit", "VOC2012"), tmp_path)


def test_what_an_interrupted_call_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(packed({"top/a": b"a"}, "a.tar"))
    (tmp_path / ".a.tar.unpacking" / "top").mkdir(parents=True)
    (tmp_path / ".a.tar.unpacking" / "top" / "half").write_bytes(b"half")
    unpack(tmp_path / "a.tar", Path("top"), tmp_path)
    assert set(contents(tmp_path)) == {"a.tar", "top/a"}


def assert_refused(archive: Path, message: str) -> None:
    """Nothing is written, and the message names the archive."""
    before = contents(archive.parent)
    with pytest.raises(ValueError, match=message) as raised:
        unpack(archive, Path("top"), archive.parent)
    assert str(archive) in str(raised.value)
    assert contents(archive.parent) == before


@pytest.mark.parametrize("opener", [gzip, bz2, lzma], ids=["gz", "bz2", "xz"])
def test_a_checksum_behind_the_last_file_is_compared(opener: Any, tmp_path: Path) -> None:
    content = packed({"top/a.bin": BYTES[:5000]}, "a.tar")
    compressed = bytearray(opener.compress(content))
    (tmp_path / "a.tgz").write_bytes(compressed)
    assert unpack(tmp_path / "a.tgz", Path("top"), tmp_path / "good") == tmp_path / "good" / "top"
    compressed[{"gzip": -8, "bz2": -3, "lzma": -28}[opener.__name__]] ^= 255
    (tmp_path / "a.tgz").write_bytes(compressed)
    assert_refused(tmp_path / "a.tgz", r"a\.tgz: damaged or truncated \(.*\); delete it and get it again")


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ("", "an entry has no name; do not trust this archive"),
        (".", "an entry has no name; do not trust this archive"),
        ("top/a\x1b[2Jb", "is no name of a file; do not trust this archive"),
        ("top/" + "a" * 300, "is no name of a file; do not trust this archive"),
        ("top/a.txt/b.txt", "stands for a file and for a folder as well"),
    ],
)
def test_an_entry_without_a_usable_name_is_refused(entry: str, message: str, name: str, tmp_path: Path) -> None:
    if name.endswith("zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            archive.writestr("top/a.txt", b"a")
            info = zipfile.ZipInfo("x")
            info.filename = entry
            archive.writestr(info, b"evil")
    else:
        (tmp_path / name).write_bytes(packed({"top/a.txt": b"a", entry: b"evil"}, name))
    assert_refused(tmp_path / name, message)


@pytest.mark.parametrize("name", ["a.tgz", "a.zip"])
def test_an_archive_that_unpacks_to_many_times_its_size_is_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plopkit.datasets.download.unpack.SLACK", 2**20)
    (tmp_path / name).write_bytes(packed({"top/a.bin": bytes(2**24)}, name))
    assert_refused(tmp_path / name, "unpacks to more than 100 times its size; do not trust this archive")


def test_a_name_of_gigabytes_is_not_read(tmp_path: Path) -> None:
    """tarfile reads a name of the GNU or PAX formats as a whole."""
    info = tarfile.TarInfo("top/a")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 2**27
    (tmp_path / "a.tgz").write_bytes(gzip.compress(info.tobuf(tarfile.GNU_FORMAT) + bytes(2**27), 1))
    tracemalloc.start()
    try:
        assert_refused(tmp_path / "a.tgz", "a name or an attribute of more than 1,048,576 bytes")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()
