"""The user's own data: a folder with `images/`, `masks/`, `classes.txt`, `train.txt` and `val.txt`."""

import os
import re
from collections import Counter
from pathlib import Path, PureWindowsPath

from plopkit.datasets.files import FileSource, in_folder, read_lines, read_stems
from plopkit.scenario import IGNORE, WIDE_IGNORE
from plopkit.settings import Data
from plopkit.support.places import expanded

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def folder(root: Path, split: str) -> FileSource:
    """Open a split of the user's own folder.

    Args:
        root: Contains `images/*.jpg` (or png), `masks/*.png`, `classes.txt` (a class name per line, background first),
            `train.txt` and `val.txt` (a file stem per line).
        split: "train" or "val".

    Raises:
        FileNotFoundError: A folder, list, image or mask is missing. The message names it and says what to do.
        ValueError: A list is empty, repeats a name, or is not UTF-8.
    """
    root = expanded(root)
    classes = folder_classes(root)
    for name in ("images", "masks"):
        if not (root / name).is_dir():
            raise FileNotFoundError(f"{root}: it contains no {name}/; images/*.jpg and masks/*.png are needed")
    listing = root / f"{split}.txt"
    if not listing.is_file():
        raise FileNotFoundError(f"{listing}: no {split} list; write the file stems of that split, one per line")
    names: dict[str, str] = {}
    for name in sorted(os.listdir(root / "images")):
        stem, suffix = os.path.splitext(name)
        if suffix.lower() in IMAGE_SUFFIXES and names.setdefault(stem, name) != name:
            raise ValueError(f"{root / 'images' / names[stem]} and {name} have the same stem; keep one image per mask")
    stems = read_stems(listing)  # a stem may contain blanks
    if not names.keys() >= set(stems) and names.keys() >= {stem.split()[0] for stem in stems}:
        stems = read_stems(listing, columns=True)
    for stem in stems:
        if leads_outside(stem):
            raise ValueError(f"{listing}: {stem!r} leads out of the folder images/; write the image's file stem")
    images = in_folder(root / "images", [names.get(stem, f"{stem}.jpg") for stem in stems])
    source = FileSource(classes, stems, images, in_folder(root / "masks", stems, ".png"))
    source.listing = str(listing)
    if len(classes) > IGNORE and source.mask_bits(0) == 8:
        raise _wrong_number(root / "classes.txt", len(classes))
    return source


def folder_classes(root: Path) -> tuple[str, ...]:
    """The class names in `classes.txt`; line 1 is the background.

    Raises:
        FileNotFoundError: There is no such folder or file.
        ValueError: A name is empty or repeated, or there are too few or too many.
    """
    root = expanded(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; data.root must contain images/, masks/ and classes.txt")
    path = root / "classes.txt"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; write one class name per line, the background first")
    names = tuple(read_lines(path))
    if "" in names:
        raise ValueError(f"{path}: line {names.index('') + 1} is empty; line n names label n - 1, so give it a name")
    if not 3 <= len(names) <= WIDE_IGNORE:
        raise _wrong_number(path, len(names))
    if len(set(names)) < len(names):
        repeated = Counter(names).most_common(1)[0][0]
        raise ValueError(f"{path}: the class name {repeated!r} is repeated; every name must be unique")
    return names


def leads_outside(name: str) -> bool:
    """Whether a name in a list is absolute or contains `..`, on any operating system."""
    if {"/", "\\", ":", "."}.isdisjoint(name):  # most names
        return False
    return os.path.isabs(name) or bool(PureWindowsPath(name).drive) or ".." in re.split(r"[/\\]", name)


def _wrong_number(path: Path, n_names: int) -> ValueError:
    return ValueError(
        f"{path}: {n_names} names; the background and 2 to {IGNORE - 1} classes are needed, one per line, or up to "
        f"{WIDE_IGNORE - 1:,} where the masks have 16 bits"
    )


def open_split(split: str, data: Data, seed: int = 0) -> FileSource:
    """Open a split of the folder `data.root`, for the catalogue; the seed is not used."""
    assert data.root is not None  # the catalogue checks it
    return folder(data.root, split)
