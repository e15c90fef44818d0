"""Safe unpacking of archives: only plain files, only below the given folder, and all of them or none."""

import gzip
import lzma
import os
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, NamedTuple

from plopkit.support.bars import progress_bar
from plopkit.support.files import disk_error


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
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        RuntimeError,
    ) as error:
        message = str(error).partition(":\n")[0]  # tarfile appends the errors of each compression
        raise ValueError(f"{archive}: damaged or truncated ({message}); delete it and get it again") from error
    except FileNotFoundError:
        raise
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
    members = _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive, verified)
    title, shown = f"unpacking {archive.name}", size >= 1 << 22
    with progress_bar(None, title, size, shown=shown, unit="B", unit_scale=True, leave=False) as bar:
        for member in members:
            name = _inside(member.name, archive)
            bar.update(max(0, member.position - bar.n))
            if member.kind == "folder" or not any(fnmatchcase(str(name), pattern) for pattern in patterns):
                continue
            # Written here rather than by tarfile, so links, devices, owners and modes cannot do harm.
            stream = member.open() if member.kind == "file" else None
            if stream is None:
                raise ValueError(
                    f"{archive}: {member.name!r} is a link or a device, but a data set has plain files only; "
                    "do not trust this archive"
                )
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with stream, open(path, "wb") as file:
                shutil.copyfileobj(stream, file)


def _inside(name: str, archive: Path) -> PurePosixPath:
    """The name as a relative path; ValueError if it leads out of the folder on any operating system."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or PureWindowsPath(name).drive:
        raise ValueError(f"{archive}: {name!r} leads out of the target folder; do not trust this archive")
    return path


def _tar_members(path: Path, verified: bool) -> Iterator[_Member]:
    with open(path, "rb") as raw, tarfile.open(fileobj=raw) as tar:
        for info in tar:
            kind = "file" if info.isreg() else "folder" if info.isdir() else "link"
            yield _Member(info.name, kind, _opener(tar.extractfile, info), raw.tell())
        if not verified:  # tarfile mistakes a truncated or damaged header for the end
            stream: Any = tar.fileobj
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("no end mark after the last file")


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            file_type = info.external_attr >> 28  # of a Unix mode; 0 if another system made the archive
            kind = "folder" if info.is_dir() else "file" if file_type in (0, 8) else "link"
            yield _Member(info.filename, kind, _opener(file.open, info), info.header_offset)


def _opener(read: Callable[[Any], IO[bytes] | None], info: Any) -> Callable[[], IO[bytes] | None]:
    return lambda: read(info)
