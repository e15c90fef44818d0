"""Safe unpacking of archives: only plain files, only below the given folder, and all of them or none."""

import bz2
import errno
import gzip
import io
import lzma
import os
import shutil
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NamedTuple

from plopkit.support.bars import progress_bar
from plopkit.support.files import disk_error
from plopkit.support.printable import control_character, one_line

GROWTH, SLACK = 100, 2**26
"""An archive of n bytes unpacks to at most GROWTH * n + SLACK; images hardly grow."""
LARGEST_READ = 2**20
"""Bytes that tarfile may ask for at once: names and attributes of a file, which it reads as a whole."""
CHUNK = 2**16
LONGEST_NAME = 255
"""Bytes of a name on the usual file systems."""


class _Member(NamedTuple):
    """An entry of an archive."""

    name: str
    kind: str  # "file", "folder" or "link"
    open: Callable[[], IO[bytes] | None]
    position: int  # in the archive, in bytes


def unpack(archive: Path, folder: Path, into: Path, patterns: Sequence[str] = ("*",), verified: bool = False) -> Path:
    """Unpack a folder of an archive.

    Everything is written to a temporary folder and then moved into place at once, so a partial result is never mistaken
    for a complete one, and nothing remains after an error.

    Args:
        archive: A zip file, or a tar file with any compression.
        folder: The folder in the archive.
        into: Where to unpack.
        patterns: Patterns of the names that are needed.
        verified: Whether the checksum was verified. If not, a tar file must have an end mark, which few programs omit.

    Returns:
        `into / folder`.

    Raises:
        ValueError: The archive is damaged, lacks the folder, or contains a link or a name that leads outside.
        FileExistsError: `into / folder` already exists.
        OSError: The folder cannot be written.
    """
    target = into / folder
    check_free(target, archive.name)
    temporary = into / f".{archive.name}.unpacking"
    shutil.rmtree(temporary, ignore_errors=True)  # from an interrupted call
    try:
        _write_members(archive, temporary, patterns, verified)
        if not (temporary / folder).is_dir():
            raise ValueError(f"{archive}: it contains no {folder}; is it the right archive?")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temporary / folder, target)
    except FileNotFoundError:
        raise
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ValueError(
            f"{archive}: a name in it stands for a file and for a folder as well ({one_line(error.filename)}); "
            "delete it and get it again"
        ) from error
    except OSError as error:
        raise disk_error(temporary, error, "run the same command again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def check_free(target: Path, name: str) -> None:
    """Raise a FileExistsError if something is already in the place where the archive `name` is to be unpacked."""
    if target.exists():
        raise FileExistsError(f"{target} exists, but {name} is to be unpacked there; complete it, or move it away")


def _write_members(archive: Path, target: Path, patterns: Sequence[str], verified: bool) -> None:
    size = archive.stat().st_size
    title, shown = f"unpacking {archive.name}", size >= 1 << 22
    left = GROWTH * size + SLACK
    with progress_bar(None, title, size, shown=shown, unit="B", unit_scale=True, leave=False) as bar:
        for member in _read_errors_explained(archive, _members(archive, verified)):
            name = _inside(member.name, archive)
            bar.update(max(0, member.position - bar.n))
            left -= tarfile.BLOCKSIZE
            if left < 0:
                raise _too_large(archive)
            if member.kind == "folder" or not any(fnmatchcase(str(name), pattern) for pattern in patterns):
                continue
            if not name.parts:
                raise ValueError(f"{archive}: an entry has no name; do not trust this archive")
            # Written here rather than by tarfile, so links, devices, owners and modes cannot do harm.
            if member.kind != "file":
                raise ValueError(
                    f"{archive}: {one_line(member.name)!r} is a link or a device, but a data set has plain files only; "
                    "do not trust this archive"
                )
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(path, "wb") as file:
                for chunk in _read_errors_explained(archive, _chunks(member)):
                    left -= len(chunk)
                    if left < 0:
                        raise _too_large(archive)
                    file.write(chunk)


def _too_large(archive: Path) -> ValueError:
    return ValueError(f"{archive}: it unpacks to more than {GROWTH} times its size; do not trust this archive")


def _chunks(member: _Member) -> Iterator[bytes]:
    stream = member.open()
    if stream is None:
        raise tarfile.ReadError(f"{one_line(member.name)} cannot be read")
    with stream:
        while chunk := stream.read(CHUNK):
            yield chunk


def _read_errors_explained(archive: Path, items: Iterator[Any]) -> Iterator[Any]:
    """The items of a reader, whose errors become a ValueError that names the archive."""
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except Exception as error:  # a damaged archive makes its reader raise almost anything
            if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):  # of the disk
                raise
            message = one_line(str(error) or type(error).__name__, 200)
            raise ValueError(f"{archive}: damaged or truncated ({message}); delete it and get it again") from error
        yield item


def _inside(name: str, archive: Path) -> PurePosixPath:
    """The name as a relative path; ValueError if it leads out of the folder on any operating system."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or PureWindowsPath(name).drive:
        raise ValueError(f"{archive}: {one_line(name)!r} leads out of the target folder; do not trust this archive")
    if control_character(name) or any(len(os.fsencode(part)) > LONGEST_NAME for part in path.parts):
        raise ValueError(f"{archive}: {one_line(name)!r} is no name of a file; do not trust this archive")
    return path


def _members(archive: Path, verified: bool) -> Iterator[_Member]:
    return _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive, verified)


def _tar_members(path: Path, verified: bool) -> Iterator[_Member]:
    with open(path, "rb") as raw, _decompressed(raw) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
        for info in tar:
            kind = "file" if info.isreg() else "folder" if info.isdir() else "link"
            yield _Member(info.name, kind, _opener(tar.extractfile, info), raw.tell())
            tar.members = []  # type: ignore[attr-defined]  # tarfile would keep all of them
        if not verified:  # tarfile mistakes a truncated or damaged header for the end
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("no end mark after the last file")
        for _ in range(1 + GROWTH * path.stat().st_size // CHUNK):  # a checksum comes after everything else
            if not stream.read(CHUNK):
                break


class _Bounded(io.BufferedReader):
    """A stream of which no more than `LARGEST_READ` bytes are read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= LARGEST_READ:
            raise tarfile.ReadError(f"a name or an attribute of more than {LARGEST_READ:,} bytes")
        return super().read(size)


def _decompressed(raw: IO[bytes]) -> _Bounded:
    """The stream of a tar file, whatever compresses it."""
    begin = raw.read(6)
    raw.seek(0)
    openers: dict[bytes, Callable[[Any], Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
    opener = next((opener for magic, opener in openers.items() if begin.startswith(magic)), None)
    stream: Any = raw if opener is None else opener(raw)
    return _Bounded(stream)


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            file_type = info.external_attr >> 28  # of a Unix mode; 0 if another system made the archive
            kind = "folder" if info.filename.endswith("/") else "file" if file_type in (0, 8) else "link"
            yield _Member(info.filename, kind, _opener(file.open, info), info.header_offset)


def _opener(read: Callable[[Any], IO[bytes] | None], info: Any) -> Callable[[], IO[bytes] | None]:
    return lambda: read(info)
