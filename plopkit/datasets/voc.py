"""PASCAL VOC 2012 in its own layout, with or without the masks of SBD."""

import re
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from plopkit.datasets.entries import read_entries
from plopkit.datasets.file_index import FileIndex
from plopkit.datasets.files import FileSource
from plopkit.datasets.layout import Layout
from plopkit.datasets.lists import numbered_lines
from plopkit.settings import Data
from plopkit.support import resources
from plopkit.support.moved import renamed
from plopkit.support.places import expanded
from plopkit.support.printable import one_line

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)

MASKS = ("SegmentationClassAug", "SegmentationClass")
LISTS = ("ImageSets/Segmentation", "splits")  # VOC's folder, and that of the released repositories
_ONE_COLUMN = re.compile(r"[^\s,;#\"']+")
SPLITS = {"train": ("train_aug.txt", "trainaug.txt", "train.txt"), "val": ("val.txt",)}


def voc(root: Path, split: str) -> FileSource:
    """Open a split of PASCAL VOC 2012.

    The augmented masks and lists are used if they exist, and VOC's own otherwise.

    Args:
        root: The folder `VOCdevkit/VOC2012`, or one that contains `VOC2012` or `VOCdevkit`.
        split: "train" or "val".

    Raises:
        FileNotFoundError: A folder, list, image or mask is missing. The message names it.
        ValueError: A list is empty or unreadable.

    Example:
        >>> voc(Path("data/voc"), "val").classes[20]
        'tvmonitor'
    """
    base = voc_base(root)
    folders = [base / name for name in MASKS if (base / name).is_dir()]
    if not folders:
        raise FileNotFoundError(f"{base}: no masks; one of the folders {' or '.join(MASKS)} is needed")
    # The augmented list contains images that only the augmented masks cover.
    usable = [path for path in lists(base, split) if folders[0].name == MASKS[0] or "aug" not in path.name]
    if not usable:
        raise FileNotFoundError(
            f"{base / LISTS[0]}: no {split} list; one of {', '.join(SPLITS[split])} is needed there or in splits"
        )
    layout = Layout(base, FileIndex(base / "JPEGImages"), FileIndex(folders[0]), own_masks=True)
    pairs = layout.listed(usable[0])
    stems = [stem.rpartition("/")[2] for stem in pairs.stems]
    source = FileSource(resources.class_names("voc"), stems, pairs.images, pairs.masks, remarks=pairs.remarks)
    source.listing = str(usable[0])
    return source


def lists(base: Path, split: str) -> list[Path]:
    """The existing lists of a split in a `VOC2012` folder, the preferred one first."""
    paths = (base / place / name for name in SPLITS[split] for place in LISTS)
    return [path for path in paths if path.is_file()]


def stems_in(path: Path) -> list[str]:
    """The stems of the images that a list names, whether or not their files exist. Its lines are those of any list.

    Raises:
        ValueError: The list is unreadable, or names an image twice.
    """
    stems = []
    for entry in read_entries(numbered_lines(path), _stem, lambda text: None):
        if entry.key is None:
            raise ValueError(
                f"{path}: line {entry.line.number} names no image: {one_line(entry.line.text)!r}; correct it"
            )
        stems.append(entry.key)
    if repeated := [stem for stem, times in Counter(stems).items() if times > 1]:
        raise ValueError(f"{path}: {one_line(repeated[0])} is listed twice; list every image once")
    if not stems:
        raise ValueError(f"{path}: the split is empty; write one file stem per line")
    return stems


def voc_base(root: Path) -> Path:
    """The `VOC2012` folder in or at `root`.

    Raises:
        FileNotFoundError: There is none. The message names the folders searched.
    """
    root = expanded(root)
    candidates = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    for base in candidates:
        if (base / "JPEGImages").is_dir():
            return base
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; data.root must be a VOC 2012 folder")
    searched = ", ".join(map(str, candidates))
    raise FileNotFoundError(f"{root}: no VOC 2012 here; looked for JPEGImages in {searched}")


def open_split(split: str, data: Data, seed: int = 0) -> FileSource:
    """Open a split of the folder `data.root`, for the catalogue; the seed is not used."""
    assert data.root is not None  # the catalogue checks it
    return voc(data.root, split)


def _stem(text: str) -> str | None:
    """The stem that a column of a list names; None where it is several columns, a comment or a blank."""
    if {"/", "."}.isdisjoint(text) and text.replace("_", "").isalnum():
        return text  # most lists hold nothing else, and splitting 10,000 paths takes longer than asking
    return Path(text).stem if _ONE_COLUMN.fullmatch(text) else None
