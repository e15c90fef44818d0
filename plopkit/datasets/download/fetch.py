"""Downloads that resume after an interruption and are verified by size and checksum before use."""

import hashlib
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plopkit.support.bars import notice, progress_bar

CHUNK = 1 << 18
TIMEOUT = 30.0  # seconds without data
RETRY_DELAYS = (1.0, 4.0, 15.0, 60.0)  # seconds before each retry; an attempt that makes progress starts from the first


@dataclass(frozen=True)
class Archive:
    """A file to download."""

    name: str
    url: str
    size: int | None = None
    """in bytes; None if it is unknown"""
    checksum: str | None = None
    """"md5:…" or "sha256:…"; None if it is unknown"""
    flag: str = "--url"
    """the option of the command line that sets another URL"""


class _ConnectionLost(Exception):
    """The connection ended early. The bytes received so far are kept."""


def fetch(archive: Archive, folder: Path) -> Path:
    """Download an archive, or verify it if it is already there.

    The download is written to `<name>.part` until it is complete, and a later call resumes it.

    Args:
        archive: What to download, and its expected size and checksum.
        folder: Where the archive is or goes.

    Returns:
        The path of the archive.

    Raises:
        ValueError: Size or checksum differ, or the URL is not valid.
        OSError: The server cannot be reached, refuses, or the disk is full.
    """
    path = folder / archive.name
    if path.is_file():
        if problem := mismatch(path, archive):
            raise ValueError(f"{problem}; delete the file, or accept it with --any-archive")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    _download(archive, part)
    if problem := mismatch(part, archive):
        part.unlink()  # nothing to resume from
        raise ValueError(
            f"{problem}; the download from {archive.url} was deleted: try again, set another URL with {archive.flag}, "
            "or accept any content with --any-archive"
        )
    os.replace(part, path)
    return path


def mismatch(path: Path, archive: Archive) -> str:
    """Describe how a file differs from an archive's size or checksum; empty if it does not, or neither is known."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        hint = "; it looks like a web page" if file.read(1) == b"<" else ""
        file.seek(0)
        if archive.size not in (None, size):
            return f"{path}: {size:,} bytes, expected {archive.size:,}{hint}"
        if archive.checksum is None:
            return ""
        kind, _, expected = archive.checksum.partition(":")
        digest = hashlib.new(kind, usedforsecurity=False)
        with _bar(f"verifying {archive.name}", size) as bar:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                bar.update(len(chunk))
    actual = digest.hexdigest()
    return "" if actual == expected else f"{path}: its {kind} is {actual}, expected {expected}{hint}"


def _download(archive: Archive, part: Path) -> None:
    """Download into `part` until it is complete, over as many connections as necessary."""
    failures, largest = 0, _size(part)
    while True:
        try:
            return _download_rest(archive, part)
        except _ConnectionLost as error:
            if _size(part) > largest:
                failures, largest = 0, _size(part)
            if failures == len(RETRY_DELAYS):
                raise OSError(
                    f"{archive.url}: {error}; {_size(part):,} bytes are kept, and the same command resumes there if "
                    f"the server supports it. Or set another URL with {archive.flag}, or put {archive.name} into "
                    f"{part.parent}"
                ) from None
            notice(f"{archive.name}: {error}; trying again in {RETRY_DELAYS[failures]:.0f} s")
            time.sleep(RETRY_DELAYS[failures])
            failures += 1


def _download_rest(archive: Archive, part: Path) -> None:
    """Download over one connection, from the end of `part` if the server supports it."""
    received = _size(part)
    if received and received == archive.size:
        return  # the last call ended between the last byte and the verification
    try:
        response = _request(archive, received)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") == f"bytes */{received}":
            return
        part.unlink()  # longer than the file on the server
        raise _ConnectionLost("the file on the server has changed") from None
    with response:
        start, total = _byte_range(response)
        if archive.size is not None and total not in (None, archive.size):
            raise ValueError(
                f"{archive.url}: the file there has {total:,} bytes, expected {archive.size:,}; "
                f"set another URL with {archive.flag}, or accept it with --any-archive"
            )
        if start not in (0, received):
            raise _ConnectionLost(f"the server sent byte {start:,} first instead of {received:,}")
        _check_disk_space(part, (total or 0) - start)
        with open(part, "ab" if start else "wb") as file, _bar(archive.name, total, start) as bar:
            while chunk := _read(response):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and _size(part) != total:
        raise _ConnectionLost(f"the connection was lost after {_size(part):,} of {total:,} bytes")


def _request(archive: Archive, start: int) -> Any:
    """Request all bytes from `start` on. Status 416 (nothing there) is raised as it is, for the caller."""
    if not archive.url.startswith(("http://", "https://")):
        raise ValueError(
            f"{archive.url!r} is not an http or https URL; to use a file that you already have, put it into the root "
            f"as {archive.name}"
        )
    headers = {"User-Agent": "plopkit", "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(archive.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            raise
        error.close()
        if error.code >= 500 or error.code in (408, 429):
            raise _ConnectionLost(f"the server responds {error.code} {error.reason}") from None
        raise OSError(
            f"{archive.url}: the server responds {error.code} {error.reason}; set another URL with {archive.flag}, "
            f"or put {archive.name} into the root"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLost(f"no connection ({getattr(error, 'reason', error)})") from None
    except ValueError as error:
        raise ValueError(f"{archive.url!r} is not a valid URL ({error})") from None


def _byte_range(response: Any) -> tuple[int, int | None]:
    """The position of the response's first byte, and the size of the whole file (None if the server omits it)."""
    if response.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if not match:
            raise _ConnectionLost("the server does not say which bytes it sends")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _read(response: Any) -> bytes:
    try:
        return response.read1(CHUNK)  # what has arrived, not a full chunk, so that an interruption loses nothing
    except (OSError, http.client.HTTPException) as error:
        raise _ConnectionLost(f"the connection was lost ({error})") from None


def _check_disk_space(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise OSError(
            f"{part.parent}: {free // 2**20:,} MiB are free, but the rest of the download needs "
            f"{-(-needed // 2**20):,} MiB; free disk space, or choose another folder with --root"
        )


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _bar(title: str, total: int | None, initial: int = 0) -> Any:
    shown = total is None or total >= 1 << 22
    options = {"unit": "B", "unit_scale": True, "unit_divisor": 1024, "leave": False}
    return progress_bar(None, title, total, shown=shown, initial=initial, **options)
