"""Downloads that go on after a break and are checked by size and checksum before they are used."""

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

from tqdm.auto import tqdm

CHUNK = 1 << 18
TIMEOUT = 30.0  # seconds without a byte
WAITS = (1.0, 4.0, 15.0, 60.0)  # seconds before each new attempt; an attempt that got further begins the row anew


@dataclass(frozen=True)
class Archive:
    """A file to download. ``checksum`` is "md5:…" or "sha256:…"; None stands for an unknown size or checksum.

    flag: the command line's, which names another place.
    """

    name: str
    url: str
    size: int | None = None
    checksum: str | None = None
    flag: str = "--url"


class _Broken(Exception):
    """The connection ended early; what came is kept."""


def fetch(archive: Archive, folder: Path) -> Path:
    """The archive in ``folder``: the one that lies there already, or a download, and either of them checked.

    What is downloaded lies in ``<name>.part`` until it is whole, and a later call goes on from there. ValueError where
    size or checksum are others than known; OSError where the server cannot be reached or the disk is full.
    """
    path = folder / archive.name
    if path.is_file():
        if wrong := mismatch(path, archive):
            raise ValueError(f"{wrong}; delete it, or accept it as it is with --any-archive")
        return path
    folder.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    _download(archive, part)
    if wrong := mismatch(part, archive):
        part.unlink()  # nothing to go on from
        raise ValueError(
            f"{wrong}; it came from {archive.url} and is deleted: try again, name another place with {archive.flag}, "
            "or accept what comes with --any-archive"
        )
    os.replace(part, path)
    return path


def mismatch(path: Path, archive: Archive) -> str:
    """How a file differs from the archive in size or checksum; empty where it does not, or nothing is known."""
    size = path.stat().st_size
    with open(path, "rb") as file:
        page = "; it looks like a web page" if file.read(1) == b"<" else ""
        file.seek(0)
        if archive.size not in (None, size):
            return f"{path}: {size:,} bytes, known are {archive.size:,}{page}"
        if archive.checksum is None:
            return ""
        kind, _, known = archive.checksum.partition(":")
        digest = hashlib.new(kind, usedforsecurity=False)
        with _bar(f"checking {archive.name}", size) as bar:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
                bar.update(len(chunk))
    found = digest.hexdigest()
    return "" if found == known else f"{path}: its {kind} is {found}, known is {known}{page}"


def _download(archive: Archive, part: Path) -> None:
    """Bytes into ``part`` until it is whole, over as many connections as that takes."""
    failures, furthest = 0, _size(part)
    while True:
        try:
            return _go_on(archive, part)
        except _Broken as error:
            if _size(part) > furthest:
                failures, furthest = 0, _size(part)
            if failures == len(WAITS):
                raise OSError(
                    f"{archive.url}: {error}; {_size(part):,} bytes are kept, and the same command goes on from there "
                    f"if the server can. Or name another place with {archive.flag}, or put "
                    f"{archive.name} into {part.parent}"
                ) from None
            tqdm.write(f"{archive.name}: {error}; trying again in {WAITS[failures]:.0f} s")
            time.sleep(WAITS[failures])
            failures += 1


def _go_on(archive: Archive, part: Path) -> None:
    """One connection, from where ``part`` ends if the server can."""
    have = _size(part)
    if have and have == archive.size:
        return  # it broke between the last byte and the check
    try:
        answer = _ask(archive, have)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code != 416:
            raise
        if error.headers.get("Content-Range") == f"bytes */{have}":
            return
        part.unlink()  # longer than what the server has
        raise _Broken("the file on the server is another one now") from None
    with answer:
        start, total = _extent(answer)
        if archive.size is not None and total not in (None, archive.size):
            raise ValueError(
                f"{archive.url}: the file there has {total:,} bytes, known are {archive.size:,}; "
                f"name another place with {archive.flag}, or accept it with --any-archive"
            )
        if start not in (0, have):
            raise _Broken(f"the server sent byte {start:,}, not {have:,}, first")
        _check_room(part, (total or 0) - start)
        with open(part, "ab" if start else "wb") as file, _bar(archive.name, total, start) as bar:
            while chunk := _read(answer):
                file.write(chunk)
                bar.update(len(chunk))
    if total is not None and _size(part) != total:
        raise _Broken(f"the connection broke after {_size(part):,} of {total:,} bytes")


def _ask(archive: Archive, have: int) -> Any:
    """The server's answer to a request for all bytes from ``have`` on; 416 is left to the caller."""
    if not archive.url.startswith(("http://", "https://")):
        raise ValueError(
            f"{archive.url!r} is not an http or https address; a file that you have already goes into the root as "
            f"{archive.name}"
        )
    headers = {"User-Agent": "plopkit", "Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(archive.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:
            raise
        error.close()
        if error.code >= 500 or error.code in (408, 429):
            raise _Broken(f"the server answers {error.code} {error.reason}") from None
        raise OSError(
            f"{archive.url}: the server answers {error.code} {error.reason}; name another place with {archive.flag}, "
            f"or put {archive.name} into the root"
        ) from None
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"no connection ({getattr(error, 'reason', error)})") from None
    except ValueError as error:
        raise ValueError(f"{archive.url!r} is not an address ({error})") from None


def _extent(answer: Any) -> tuple[int, int | None]:
    """Where the answer's bytes begin, and how many the whole file has, None where the server does not tell."""
    if answer.status == 206:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not match:
            raise _Broken("the server does not tell which bytes it sends")
        return int(match[1]), None if match[2] == "*" else int(match[2])
    length = answer.headers.get("Content-Length", "")
    return 0, int(length) if length.isdigit() else None


def _read(answer: Any) -> bytes:
    try:
        return answer.read1(CHUNK)  # what is there, not a full chunk: a break loses nothing
    except (OSError, http.client.HTTPException) as error:
        raise _Broken(f"the connection broke ({error})") from None


def _check_room(part: Path, needed: int) -> None:
    free = shutil.disk_usage(part.parent).free
    if free < needed:
        raise OSError(f"{part.parent}: {free // 2**20:,} MiB are free, {-(-needed // 2**20):,} MiB are still to come")


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _bar(title: str, total: int | None, initial: int = 0) -> Any:
    small = total is not None and total < 1 << 22
    options = {"unit": "B", "unit_scale": True, "unit_divisor": 1024, "leave": False, "disable": small}
    return tqdm(desc=title, total=total, initial=initial, **options)
