"""What identifies images and masks on disk: their names, sizes and contents, wherever they are.

A digest of every byte of a large data set takes minutes. By default the first and the last bytes of each file count:
the end of a PNG holds the checksum of its pixels, and of a JPEG the last of its compressed pixels. What was computed is
cached under the files' places and times of change, so that unchanged files are read once on each machine.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from plopkit.datasets.listing import FileState
from plopkit.datasets.lists import composed
from plopkit.datasets.scan import cache_folder, in_threads, load_table, save_table

How = Literal["sample", "all"]
"""As `Data.digest`: the ends of each file, or every byte."""
END = 4096
"""Bytes of each end."""
LENGTH = 8
"""Bytes of the digest of an image and its mask."""


def pair_digests(
    stems: Sequence[str], images: Sequence[str], masks: Sequence[str], how: How, key: str, cache: Path | None = None
) -> UInt8[np.ndarray, "N 8"]:
    """A digest of each image and its mask: both names, sizes and contents, but not where the data set is.

    Args:
        stems: The name of each image; a sub-folder in it counts.
        images: The file of each image.
        masks: The file of each mask.
        how: What counts of their contents.
        key: Changes whenever one of the files may have changed; names the cached digests.
        cache: The folder in which they are kept; `cache_folder` by default.

    Raises:
        OSError: A file cannot be read.
    """
    folder = cache or cache_folder()
    path = folder and folder / f"digests-{how}-{key}.npz"
    table = load_table(path, (len(images), LENGTH), np.uint8)
    if table is None:
        table = np.zeros((len(images), LENGTH), np.uint8)
        pairs = list(zip(stems, images, masks, strict=True))
        for index, digest in enumerate(in_threads(partial(_of_pair, how), pairs, "looking for changed images")):
            table[index] = np.frombuffer(digest, np.uint8)
        save_table(path, table, "the digests of the images are not cached and will be made again")
    return table


def place_key(states: Iterable[FileState], about: bytes) -> str:
    """A digest that changes with the place of a file, and whenever its content may have changed.

    The system sets the time of a change by itself: a file that got back its earlier time of modification has another.
    """
    digest = hashlib.sha256(about)
    for path, size, mtime_ns, ctime_ns, inode in states:
        digest.update(f"{path}\0{size}\0{mtime_ns}\0{ctime_ns}\0{inode}\n".encode())
    return digest.hexdigest()[:20]


def earlier_fingerprint(states: Iterable[FileState], about: bytes) -> str:
    """The fingerprint that runs noted before contents counted: a digest of places, sizes and times of modification."""
    digest = hashlib.sha256(about)
    for path, size, mtime_ns, *_ in states:
        digest.update(f"{path}\0{size}\0{mtime_ns}\n".encode())
    return digest.hexdigest()[:20]


def _of_pair(how: How, pair: tuple[str, str, str]) -> bytes:
    stem, *paths = pair
    digest = hashlib.sha256(stem.rpartition("/")[0].encode(errors="surrogateescape"))
    for path in paths:
        size, content = _of_file(path, how)
        name = composed(os.path.basename(path))  # a disk of macOS spells it in another form of Unicode
        digest.update(f"{name}\0{size}\0".encode(errors="surrogateescape") + content)
    return digest.digest()[:LENGTH]


def _of_file(path: str, how: How) -> tuple[int, bytes]:
    """The size of a file and a digest of what counts of its content."""
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if how == "all" or size <= 2 * END:
            return size, hashlib.file_digest(file, "sha256").digest()
        first = file.read(END)
        file.seek(-END, os.SEEK_END)
        return size, hashlib.sha256(first + file.read()).digest()
