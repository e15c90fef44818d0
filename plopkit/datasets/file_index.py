"""The pictures in a folder and its sub-folders, found by name, whatever their ending and their form of Unicode."""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from plopkit.datasets.lists import composed
from plopkit.support.places import needing_rights
from plopkit.support.printable import one_line

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""The endings of pictures, in any case."""
SUFFIXES_IN_WORDS = ".jpg, .png, .tif, .bmp and .webp"
DEEPEST = 100
"""Folders within folders that are looked through."""

_NO_DATA = ("__macosx", "@eadir")  # what macOS and a network disk put next to one's files
_MASK_WORDS = r"masks?|labels?|seg|segmentation|gt|annotations?"
_MASK_WORD = re.compile(rf"(?:(?<=/)|^)(?:{_MASK_WORDS})[_\-. ](?=[^/]+$)|[_\-. ](?:{_MASK_WORDS})$", re.IGNORECASE)
_IMAGE_WORDS = "image|img|photo|rgb|sat"
_IMAGE_WORD = re.compile(rf"(?:(?<=/)|^)(?:{_IMAGE_WORDS})[_\-. ](?=[^/]+$)|[_\-. ](?:{_IMAGE_WORDS})$", re.IGNORECASE)


class FileIndex:
    """The pictures below a folder. Hidden files and folders, such as `.DS_Store` and `._photo.jpg`, are none.

    A picture's *key* is its path below the folder, without ending, with slashes, in Unicode's composed form.

    Args:
        folder: Where to look.
        without: Names of sub-folders of it that are left out.
    """

    def __init__(self, folder: Path, without: Sequence[str] = ()):
        self.folder = folder
        self.prefix = os.path.join(folder, "")
        self.last_part = folder.name.casefold()
        """the folder's own name, in lower case"""
        self._without = without

    @cached_property
    def names(self) -> dict[str, list[str]]:
        """By key: the real paths below the folder. Two where two files differ in their ending alone."""
        found: dict[str, list[str]] = {}
        root = os.fspath(self.folder)
        for path in _pictures(root, "", self._without, (os.path.realpath(root),)):
            key = composed(path[: path.rindex(".")])
            found.setdefault(key if os.sep == "/" else key.replace(os.sep, "/"), []).append(path)
        return found

    @cached_property
    def by_stem(self) -> dict[str, list[str]]:
        """By the last part of the key: the keys."""
        return _grouped(self.names, _last)

    @cached_property
    def marked(self) -> dict[str, list[str]]:
        """By the key without the word that marks a mask: the keys with such a word."""
        return _grouped(filter(is_marked, self.names), unmarked)

    @cached_property
    def marked_by_stem(self) -> dict[str, list[str]]:
        """As `marked`, by the last part of the key."""
        return _grouped(filter(is_marked, self.names), lambda key: _last(unmarked(key)))

    def key_of(self, text: str) -> str | None:
        """The key of the picture that an entry of a list names by stem, file name, or path below the folder."""
        if text in self.names:
            return text
        stem, _, suffix = text.rpartition(".")
        return stem if stem in self.names and f".{suffix.lower()}" in SUFFIXES else None

    def path(self, name: str) -> str:
        """The path of a file by its real path below the folder."""
        return self.prefix + name  # quicker than os.path.join


def is_marked(key: str) -> bool:
    """Whether a name has a word that marks a mask, such as `photo_mask` and `label-photo`."""
    return bool(_MASK_WORD.search(key))


def unmarked(key: str) -> str:
    """A name without the word that marks a mask."""
    return _MASK_WORD.sub("", key, count=1)


def plain(key: str) -> str:
    """A name without the word that marks an image, such as `photo_rgb` and `img-photo`."""
    return _IMAGE_WORD.sub("", key, count=1)


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES


def _pictures(folder: str, below: str, without: Sequence[str], above: tuple[str, ...]) -> Iterator[str]:
    """The paths of pictures below a folder, sorted within each folder; links to folders are followed.

    Args:
        folder: Where to look.
        below: The sub-folder of it.
        without: Names that are left out there.
        above: The real paths of this sub-folder, the last one, and of those that lead to it: a link back is no more
            than another name of theirs.
    """
    place = os.path.join(folder, below)
    if len(above) > DEEPEST:
        raise ValueError(f"{one_line(place, 300)}: more than {DEEPEST} folders within each other; move it up")
    with needing_rights(place), os.scandir(place) as listed:
        entries = sorted((entry.name, entry) for entry in listed)
    for name, entry in entries:
        if name[0] == "." or name in without:
            continue
        path = below + name
        if path[path.rfind(".") :].lower() in SUFFIXES and entry.is_file():
            yield path
        elif entry.is_dir() and name.lower() not in _NO_DATA:
            real = os.path.realpath(entry.path) if entry.is_symlink() else os.path.join(above[-1], name)
            if real not in above:
                yield from _pictures(folder, path + os.sep, (), (*above, real))


def _grouped(keys: Iterable[str], name_of: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for key in keys:
        groups.setdefault(name_of(key), []).append(key)
    return groups


def _last(key: str) -> str:
    return key.rpartition("/")[2]
