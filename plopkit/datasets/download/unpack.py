"""Archives unpacked safely: only plain files, only below the folder asked for, and all of them or none."""

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

from tqdm.auto import tqdm


class _Member(NamedTuple):
    """One entry: its name, "file", "folder" or "link", how to read it, and where in the archive it stands."""

    name: str
    kind: str
    open: Callable[[], IO[bytes] | None]
    at: int


def unpack(archive: Path, folder: Path, into: Path, wanted: Sequence[str] = ("*",), checked: bool = False) -> Path:
    """Unpack what an archive (tar of any compression, or zip) holds in ``folder``; it then lies in ``into / folder``.

    wanted: patterns of the names that are needed. checked: its checksum is the known one; otherwise a tar must end with
    its mark of the end, which few makers leave out. All is written beside and then moved there at once: half of it is
    never taken for the whole. ValueError where the archive is broken, holds no such folder, or holds a name that
    leads outside or a link; nothing is left of it then. FileExistsError where ``into / folder`` is there already.
    """
    target = into / folder
    check_free(target, archive.name)
    beside = into / f".{archive.name}.unpacking"
    shutil.rmtree(beside, ignore_errors=True)  # of a call that was stopped
    try:
        _write_members(archive, beside, wanted, checked)
        if not (beside / folder).is_dir():
            raise ValueError(f"{archive}: no {folder} in it; is it the right archive?")
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(beside / folder, target)
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        gzip.BadGzipFile,
        zlib.error,
        lzma.LZMAError,
        EOFError,
        RuntimeError,
    ) as error:
        told = str(error).partition(":\n")[0]  # tarfile lists what each compression made of it
        raise ValueError(f"{archive}: broken or cut short ({told}); delete it and get it again") from error
    except FileNotFoundError:
        raise
    except OSError as error:
        raise type(error)(
            f"{beside}: cannot be written ({error.strerror or error}); make room or mend the rights and run the same "
            "command again"
        ) from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
    return target


def check_free(target: Path, name: str) -> None:
    """FileExistsError where something lies where the archive ``name`` is to be unpacked."""
    if target.exists():
        raise FileExistsError(f"{target}: in the way of what {name} holds; complete it, or move it away")


def _write_members(archive: Path, beside: Path, wanted: Sequence[str], checked: bool) -> None:
    size = archive.stat().st_size
    members = _zip_members(archive) if zipfile.is_zipfile(archive) else _tar_members(archive, checked)
    with tqdm(
        desc=f"unpacking {archive.name}", total=size, unit="B", unit_scale=True, leave=False, disable=size < 1 << 22
    ) as bar:
        for member in members:
            name = _inside(member.name, archive)
            bar.update(max(0, member.at - bar.n))
            if member.kind == "folder" or not any(fnmatchcase(str(name), pattern) for pattern in wanted):
                continue
            # Written here, not by tarfile: so there are no links, devices, owners or modes to be careful with.
            stream = member.open() if member.kind == "file" else None
            if stream is None:
                raise ValueError(f"{archive}: {member.name!r} is a link or a device; a data set has plain files only")
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with stream, open(path, "wb") as file:
                shutil.copyfileobj(stream, file)


def _inside(name: str, archive: Path) -> PurePosixPath:
    """The name as a path below the folder; ValueError where it leads elsewhere, on this system or on another."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or PureWindowsPath(name).drive:
        raise ValueError(f"{archive}: {name!r} leads out of the folder to unpack into; do not trust this archive")
    return path


def _tar_members(path: Path, checked: bool) -> Iterator[_Member]:
    with open(path, "rb") as raw, tarfile.open(fileobj=raw) as tar:
        for info in tar:
            kind = "file" if info.isreg() else "folder" if info.isdir() else "link"
            yield _Member(info.name, kind, _opener(tar.extractfile, info), raw.tell())
        if not checked:  # tarfile takes a header that is cut or broken for the end
            stream: Any = tar.fileobj
            stream.seek(tar.offset)
            if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                raise tarfile.ReadError("no mark of the end where the last file ends")


def _zip_members(path: Path) -> Iterator[_Member]:
    with zipfile.ZipFile(path) as file:
        for info in file.infolist():
            file_type = info.external_attr >> 28  # of a Unix mode; 0 where another system made the archive
            kind = "folder" if info.is_dir() else "file" if file_type in (0, 8) else "link"
            yield _Member(info.filename, kind, _opener(file.open, info), info.header_offset)


def _opener(how: Callable[[Any], IO[bytes] | None], info: Any) -> Callable[[], IO[bytes] | None]:
    return lambda: how(info)
