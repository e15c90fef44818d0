"""Seals: the SHA-256 of a file, kept in a hidden file next to it and compared whenever the file is read.

The seal of `results.csv` is `.results.csv.sha256`, one line as `sha256sum` writes and checks it. It is written before
the file that it belongs to is moved to its place. Where the file replaces another one, the seal holds both digests
until the move is done: whenever a process is killed, the file that is there agrees with its seal. What a kill leaves in
excess, a seal without a file or with a digest too many, is removed by `settle`.

A file without a seal, as earlier versions wrote it, is read unchecked. A seal that is no seal counts as none.
"""

import hashlib
import os
import re
from pathlib import Path

from plopkit.support import durable
from plopkit.support.places import read_limited

SUFFIX = ".sha256"
LARGEST = 2**12
"""Bytes of a seal; two digests and a long name take 700."""
AGAIN = "run the command of this run again: what is damaged is made again"


class DamagedError(ValueError):
    """A file does not hold what was written to it.

    Args:
        path: the file.
        problem: what is wrong with it.
        remedy: what to do.
    """

    def __init__(self, path: Path, problem: str, remedy: str = AGAIN):
        super().__init__(path, problem, remedy)  # all of them, so that the error can pass from process to process
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return "{}: {}; {}".format(*self.args)


def missing(path: Path, remedy: str = AGAIN) -> FileNotFoundError:
    """The error about a file that is not there, which says what to do."""
    return FileNotFoundError(f"{path}: missing; {remedy}")


def seal_file(path: Path) -> Path:
    """Where the digest of a file is kept."""
    return path.with_name(f".{path.name}{SUFFIX}")


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's content, in hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sealed_digests(path: Path) -> tuple[str, ...]:
    """The digests in a file's seal, one of which is the file's; empty without a seal."""
    try:
        lines = read_limited(seal_file(path), LARGEST, "a seal").decode().splitlines()
    except (FileNotFoundError, ValueError):
        return ()
    matches = [re.fullmatch(r"([0-9a-f]{64})  (.*)", line) for line in lines]
    return tuple(match[1] for match in matches if match) if all(matches) else ()


def is_intact(path: Path) -> bool:
    """Whether a file agrees with its seal, or has none. It may be replaced meanwhile.

    Raises:
        FileNotFoundError: there is no such file.
    """
    while True:
        before = _state(path)
        digests = sealed_digests(path)
        if not digests or digest_of(path) in digests:
            return True
        if _state(path) == before:
            return False


def check(path: Path, remedy: str = AGAIN) -> None:
    """Compare a file with its seal.

    Raises:
        DamagedError: it holds something else.
        FileNotFoundError: there is no such file.
    """
    if not is_intact(path):
        raise DamagedError(path, "damaged (its SHA-256 is not the one noted when it was written)", remedy)


def replace_sealed(part: Path, path: Path) -> None:
    """Move a written file to its place, and seal it."""
    new = digest_of(part)
    before = sealed_digests(path) if path.exists() else ()
    if path.exists() and not before:
        seal_file(path).unlink(missing_ok=True)  # of no use; what it replaces is unchecked until the move is done
        durable.replace(part, path)
        write_seal(path, new)
        return
    write_seal(path, new, *before)
    try:
        durable.replace(part, path)
    except BaseException:
        if not before:
            seal_file(path).unlink(missing_ok=True)  # otherwise it also holds the digest of the file that stays
        raise
    if before:
        write_seal(path, new)


def write_seal(path: Path, *digests: str) -> None:
    """Write the seal of a file, which has one of these digests."""
    seal = seal_file(path)
    part = seal.with_name(f".{seal.name}.{os.getpid()}.part")
    try:
        with durable.being_written(part):
            part.write_text("".join(f"{digest}  {path.name}\n" for digest in dict.fromkeys(digests)), encoding="utf-8")
            durable.replace(part, seal)
    finally:
        part.unlink(missing_ok=True)


def remove(path: Path) -> None:
    """Remove a file, where there is one, and then its seal."""
    path.unlink(missing_ok=True)
    seal_file(path).unlink(missing_ok=True)


def settle(folder: Path) -> None:
    """Bring the seals in a folder and below to what they are without kills. No writer may be active there."""
    for seal in sorted(folder.rglob(f".*{SUFFIX}")):
        path = seal.with_name(seal.name.removeprefix(".").removesuffix(SUFFIX))
        if not path.exists():
            seal.unlink()
        elif len(digests := sealed_digests(path)) > 1 and (present := digest_of(path)) in digests:
            write_seal(path, present)


def _state(path: Path) -> tuple[object, ...]:
    """Changes whenever a file is written."""
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns, sealed_digests(path)
