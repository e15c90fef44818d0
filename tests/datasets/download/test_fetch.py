"""Downloads that are interrupted, refused, or not what was expected."""

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from downloads import BYTES, Server, md5, offered
from small_runs import contents

from plopkit.datasets.download import fetch as fetching
from plopkit.datasets.download.fetch import Archive, fetch


def test_a_file_is_downloaded_once_and_is_exact(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    for _ in range(2):
        assert fetch(archive, tmp_path / "new" / "root").read_bytes() == BYTES
    assert server.requests == [("/a.bin", None)]
    assert set(contents(tmp_path)) == {"new/root/a.bin"}


@pytest.mark.parametrize("known", [True, False])
def test_downloads_resume_after_lost_connections(known: bool, server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    server.breaks = [200_000, 0, 150_000, 0, 0]
    archive = archive if known else replace(archive, size=None, checksum=None)
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    assert [byte_range for _, byte_range in server.requests] == [None, *["bytes=200000-"] * 2, *["bytes=350000-"] * 3]


def test_received_bytes_are_kept_after_giving_up(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    server.breaks = [250_000, 0, 0, 0]
    with pytest.raises(
        OSError, match=r"was lost after 250,000 of 600,000 bytes; 250,000 bytes are kept, and the same command resumes"
    ):
        fetch(archive, tmp_path)
    assert contents(tmp_path) == {"a.bin.part": BYTES[:250_000]}
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    assert server.requests[-1] == ("/a.bin", "bytes=250000-")
    assert set(contents(tmp_path)) == {"a.bin"}


def test_a_server_that_cannot_resume_sends_everything_again(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    server.ranges, server.breaks = False, [250_000]
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    server.breaks = [300_000] * 9  # no progress: it gives up
    (tmp_path / "a.bin").unlink()
    with pytest.raises(OSError, match="if the server supports it"):
        fetch(archive, tmp_path)
    assert len(server.breaks) == 9 - 4


@pytest.mark.parametrize("known", [True, False])
def test_a_complete_partial_file_needs_no_more_bytes(known: bool, server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    (tmp_path / "a.bin.part").write_bytes(BYTES)
    archive = archive if known else replace(archive, size=None)
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    assert len(server.requests) == (0 if known else 1)


def test_a_partial_file_longer_than_the_file_is_downloaded_again(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    (tmp_path / "a.bin.part").write_bytes(BYTES + b"more")
    assert fetch(archive, tmp_path).read_bytes() == BYTES


def test_a_server_may_be_busy_for_a_while(server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    server.status = [503, 500, 429]
    assert fetch(archive, tmp_path).read_bytes() == BYTES
    server.status = [503] * 4
    (tmp_path / "a.bin").unlink()
    with pytest.raises(OSError, match="the server responds 503 Service Unavailable; 0 bytes are kept"):
        fetch(archive, tmp_path)


def test_a_length_may_be_unknown(server: Server, tmp_path: Path) -> None:
    server.lengths = False
    assert fetch(offered(server), tmp_path).read_bytes() == BYTES


@pytest.mark.parametrize("status", [403, 404])
def test_a_refusal_is_reported_immediately(status: int, server: Server, tmp_path: Path) -> None:
    archive = offered(server)
    archive = replace(archive, flag="--url.voc")
    server.status = [status]
    with pytest.raises(
        OSError, match=rf"a.bin: the server responds {status} \w+.*; set another URL with --url.voc, or put"
    ):
        fetch(archive, tmp_path)
    assert len(server.requests) == 1
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a/b", "/data/a.bin", ""])
def test_only_http_is_requested(url: str, tmp_path: Path) -> None:
    with pytest.raises(
        ValueError, match="is not an http or https URL; to use a file that you already have, put it into"
    ):
        fetch(Archive("a.bin", url), tmp_path)


def test_an_unreachable_server_is_reported(server: Server, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no connection .*; 0 bytes are kept"):
        fetch(Archive("a.bin", "http://127.0.0.1:9/a.bin"), tmp_path)


def test_a_full_disk_is_reported_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 10, 2**18))
    with pytest.raises(OSError, match="0 MiB are free, but the rest of the download needs 1 MiB; free disk space"):
        fetch(offered(server), tmp_path)
    assert contents(tmp_path) == {}


def test_another_size_on_the_server_is_reported_before_the_download(server: Server, tmp_path: Path) -> None:
    archive = replace(offered(server, b"<html>moved</html>"), size=600_000)
    with pytest.raises(ValueError, match="the file there has 18 bytes, expected 600,000; set another URL with --url"):
        fetch(archive, tmp_path)
    assert contents(tmp_path) == {}


def test_another_checksum_is_reported_and_the_download_deleted(server: Server, tmp_path: Path) -> None:
    archive = replace(offered(server, b"<html>moved</html>"), size=None, checksum=md5(BYTES))
    with pytest.raises(
        ValueError, match=r"its md5 is \w{32}, expected \w{32}; it looks like a web page; the download from"
    ):
        fetch(archive, tmp_path)
    assert contents(tmp_path) == {}


@pytest.mark.parametrize(("content", "message"), [(b"x", "1 bytes, expected 600,000"), (BYTES[::-1], "its md5 is")])
def test_an_existing_file_is_verified_and_kept(content: bytes, message: str, server: Server, tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(ValueError, match=f"a.bin: {message}.*; delete the file, or accept it with --any-archive"):
        fetch(offered(server), tmp_path)
    assert contents(tmp_path) == {"a.bin": content}
    assert server.requests == []


def test_other_checksums_are_understood(server: Server, tmp_path: Path) -> None:
    archive = replace(offered(server), checksum=f"sha256:{hashlib.sha256(BYTES).hexdigest()}")
    assert fetch(archive, tmp_path).read_bytes() == BYTES
