"""The lines of a list, read by what exists on disk: an image by stem, file name or path, and perhaps its mask.

A line has one column or several, separated by tabs, commas, semicolons or blanks. Names may hold any of these, so the
line is cut where the parts name files that exist.
"""

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath, PureWindowsPath
from typing import NamedTuple

from plopkit.datasets.file_index import FileIndex, is_picture
from plopkit.datasets.lists import Line

SEPARATORS = ("\t", ",", ";", " ")
_AT = {separator: re.compile(re.escape(separator)) for separator in SEPARATORS}
MOST_CUTS = 20
"""Places at which a line is cut for each separator."""

IMAGE_WORDS = (
    *("image", "images", "img", "imagepath", "imgpath", "imagefile", "imagename", "imagefilename", "filename", "file"),
    *("filepath", "path", "picture", "photo", "stem", "name", "imageid", "imgid", "id"),
)
"""What a header line calls the column of images, the surest first, without blanks and the like."""
MASK_WORDS = (
    *("mask", "masks", "maskpath", "maskfile", "maskname", "maskfilename", "label", "labels", "labelpath", "labelfile"),
    *("annotation", "annotationpath", "segmentation", "seg", "target"),
)


class Entry(NamedTuple):
    """What a line names."""

    line: Line
    key: str | None
    """the image's key; None where there is no such image"""
    mask: str | None = None
    """the mask as it is written, if the line has one"""
    image: str = ""
    """the image as it is written"""


Finder = Callable[[str], str | None]


def read_entries(lines: Sequence[Line], image_key: Finder, mask_path: Finder) -> Iterator[Entry]:
    """Read the lines of a list.

    A first line of column names, and lines that begin with `#`, are left out, unless they name a file.

    Args:
        lines: The lines.
        image_key: The key of the image that a text names, None where there is none.
        mask_path: The path of the mask that a text names, None where there is none.
    """
    header: Header | None = None
    begun = False
    for line in lines:
        key = image_key(line.text) or image_key(line.text.strip("\"',; "))
        if key is None and line.text.startswith("#"):
            continue
        if key is not None:
            yield Entry(line, key, None, line.text)
        elif begun or len(lines) == 1 or not (header := _header(line.text)):
            yield _cut(line, header, image_key, mask_path)
        begun = True


def columns_of(text: str) -> Iterator[list[str]]:
    """The ways to cut a line at every separator of a kind, up to `MOST_CUTS` times: two columns at least."""
    for separator in SEPARATORS:
        columns = _fields(text, separator)[: MOST_CUTS + 1]
        if len(columns) > 1:
            yield columns


def spellings(text: str, root: str, last_part: str) -> Iterator[str]:
    """The paths below a folder that a text may mean.

    Args:
        text: A stem, a file name or a path: relative to the folder or to the root, or absolute, here or elsewhere.
        root: The data set's folder.
        last_part: The name of the folder of images or masks, in lower case.
    """
    plain = text.replace("\\", "/").removeprefix("./")
    if ".." in plain.split("/"):
        whole = os.path.normpath(os.path.join(root, plain))
        if os.path.commonpath([os.path.abspath(root), os.path.abspath(whole)]) != os.path.abspath(root):
            return
        plain = os.path.relpath(whole, root).replace(os.sep, "/")
    parts = plain.split("/")
    for first in range(len(parts)):
        if first == 0 or parts[first - 1].casefold() == last_part:
            yield "/".join(parts[first:])


def find_key(text: str, index: FileIndex, root: str) -> str | None:
    """The key of the picture that a text names, None where there is none or there are several."""
    if (key := index.key_of(text)) is not None:
        return key
    if "/" in text or "\\" in text:
        return next(filter(None, map(index.key_of, spellings(text, root, index.last_part))), None)
    stem, suffix = os.path.splitext(text)
    keys = index.by_stem.get(text) or (suffix and index.by_stem.get(stem)) or ()
    return keys[0] if len(keys) == 1 and (keys[0].endswith(text) or is_picture(text)) else None


def leads_outside(name: str) -> bool:
    """Whether a name in a list is absolute or contains `..`, on any operating system."""
    if {"/", "\\", ":", "."}.isdisjoint(name):  # most names
        return False
    return os.path.isabs(name) or bool(PureWindowsPath(name).drive) or ".." in re.split(r"[/\\]", name)


class Header(NamedTuple):
    """A line of column names."""

    separator: str
    image: int
    mask: int | None


def _header(text: str) -> Header | None:
    """The column names in a line; None where it has a word that can be none."""
    for separator in SEPARATORS:
        fields = _fields(text, separator)
        words = [re.sub(r"[\W_]+", "", field.lower()) for field in fields]
        known = [words.index(word) for word in IMAGE_WORDS if word in words]
        masks = [words.index(word) for word in MASK_WORDS if word in words]
        if any(is_picture(field) or "/" in field or "\\" in field for field in fields):
            continue
        if known and (len(words) > 1 if separator != " " else {*words} <= {*IMAGE_WORDS, *MASK_WORDS}):
            return Header(separator, known[0], masks[0] if masks else None)
    return None


def _cut(line: Line, header: Header | None, image_key: Finder, mask_path: Finder) -> Entry:
    """The entry of a line that does not name an image as a whole."""
    if header and (header.separator != " " or (header.mask is not None and header.mask < header.image)):
        fields = _fields(line.text, header.separator)
        if len(fields) > header.image:
            image = fields[header.image]
            mask = fields[header.mask] if header.mask is not None and len(fields) > header.mask else ""
            return Entry(line, image_key(image), mask or None, image)
    without_mask = None
    for left, right in _cuts(line.text):
        if not left or (key := image_key(left)) is None:
            continue
        for mask in (right, *(first for first, _ in _cuts(right))):
            if mask and mask_path(mask) is not None:
                return Entry(line, key, mask, left)
        if without_mask is None:
            first = next((first for first, _ in _cuts(right)), right)
            without_mask = Entry(line, key, first if is_picture(PurePath(first).name) else None, left)
    return without_mask or _in_any_order(line, image_key, mask_path) or Entry(line, None, None, _likeliest(line.text))


def _in_any_order(line: Line, image_key: Finder, mask_path: Finder) -> Entry | None:
    """The entry of a line whose image is in a later column, such as behind a number or behind its mask."""
    for separator in SEPARATORS:
        fields = _fields(line.text, separator)[: MOST_CUTS + 1]
        image = next((field for field in fields[1:] if image_key(field) is not None), None)
        if image is not None:
            masks = (field for field in fields if field != image and field and mask_path(field) is not None)
            return Entry(line, image_key(image), next(masks, None), image)
    return None


def _cuts(text: str) -> Iterator[tuple[str, str]]:
    """The ways to cut a line into a first column and the rest, quoted ones first, the longest first column first."""
    for separator in SEPARATORS:
        if '"' in text:
            first, *rest = _fields(text, separator)
            if rest:
                yield first, rest[0]
        places = [match.start() for match in _AT[separator].finditer(text)][:MOST_CUTS]
        for place in reversed(places):
            yield text[:place].strip(), text[place + 1 :].strip()


def _likeliest(text: str) -> str:
    """The first column of a line that names no file: up to a tab, a comma, or the end of a picture's name."""
    if '"' in text or "\t" in text or "," in text:
        return _fields(text, "\t" if "\t" in text else ",")[0]
    return next((left for left, _ in reversed(list(_cuts(text))) if is_picture(PurePath(left).name)), text)


def _fields(text: str, separator: str) -> list[str]:
    if separator == " " and '"' not in text:
        return text.split() or [""]
    try:
        rows = list(csv.reader([text], delimiter=separator, skipinitialspace=True))
    except csv.Error:
        rows = []
    return [field.strip() for field in rows[0]] if rows and rows[0] else [text]
