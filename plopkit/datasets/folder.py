"""The user's own data: a folder with images, masks, `classes.txt`, `train.txt` and `val.txt`."""

import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plopkit.datasets.class_names import class_names, wrong_number
from plopkit.datasets.file_index import SUFFIXES_IN_WORDS, FileIndex, is_marked
from plopkit.datasets.files import FileSource
from plopkit.datasets.layout import Layout, Pairs
from plopkit.scenario import IGNORE, N_IDS
from plopkit.settings import Data
from plopkit.support.moved import renamed
from plopkit.support.places import expanded, needing_rights
from plopkit.support.printable import one_line

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages")
MASK_FOLDERS = ("masks", "mask", "labels", "label", "annotations", "annotation", "segmentationclass")
"""What the folders are called, in any case; the first one with pictures counts."""
SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation")}
LIST_FOLDERS = (".", "lists", "splits", "ImageSets/Segmentation", "ImageSets")
LIST_ENDINGS = (".txt", ".csv", ".lst", ".tsv")
CLASS_WORDS = ("classes", "class", "classnames", "labels", "labelnames", "names", "categories")
CLASS_ENDINGS = (".txt", ".csv", ".tsv", ".json", ".yaml", ".yml", ".names")
"""What lists of classes are called elsewhere; underscores do not count."""
ANNOTATIONS = (".json", ".xml")
CONVERT = " (`plopkit data convert` makes masks from annotations)"


def folder(root: Path, split: str, binary: bool = False) -> FileSource:
    """Open a split of the user's own folder.

    Args:
        root: Contains `images/`, `masks/`, `classes.txt` (a class name per line, background first), `train.txt` and
            `val.txt`. A line of a list names an image by stem, file name or path, and perhaps its mask. Without lists,
            `images/train/` and `images/val/` are the splits. Masks may also be next to their images, as
            `photo_mask.png`.
        split: "train" or "val".
        binary: Whether 255 in the masks means the one class instead of ignored pixels.

    Raises:
        FileNotFoundError: A folder, list, image or mask is missing. The message names it and says what to do.
        ValueError: A list is empty, unreadable or ambiguous.
    """
    root = expanded(root)
    classes = folder_classes(root)
    if binary and len(classes) != 2:
        raise ValueError(
            f"{root / 'classes.txt'}: {len(classes)} names, but data.binary is for masks of the background and one "
            "class; leave two names there, or set data.binary to False"
        )
    pairs = pairs_of(root, split)
    source = FileSource(
        classes, pairs.stems, pairs.images, pairs.masks, binary_table() if binary else None, True, pairs.remarks
    )
    source.listing = str(list_of(root, split) or "")
    if len(classes) > IGNORE and source.mask_bits(0) == 8:
        raise wrong_number(root / "classes.txt", len(classes))
    return source


def pairs_of(root: Path, split: str) -> Pairs:
    """The images and masks of a split: those that its list names, or those in its sub-folder where there are no lists.

    Raises:
        FileNotFoundError, ValueError: As for `folder`.
    """
    listing = list_of(root, split)
    if listing is not None:
        return layout_of(root).listed(listing)
    divided = None if any(list_of(root, each) for each in SPLIT_FOLDERS) else split_layout(root, split)
    if divided is None:
        layout_of(root)  # says first that there are no images
        raise FileNotFoundError(
            f"{root / split}.txt: no {split} list; write the file stems of that split, one per line, or put its images "
            f"into images/{split}/{_other_lists(root)}"
        )
    pairs = divided.everything()
    if not pairs.stems:
        raise FileNotFoundError(f"{divided.images.folder}: it contains no images; add some, or write {split}.txt")
    return pairs


def layout_of(root: Path) -> Layout:
    """Where the images and masks of a user's folder are.

    Raises:
        FileNotFoundError: There are no images, or no masks.
    """
    images, masks = _subfolder(root, IMAGE_FOLDERS), _masks_below(root)
    needed = "images/*.jpg and masks/*.png are needed"
    index = FileIndex(images or root, () if images else tuple(_subfolders(root, MASK_FOLDERS)))
    if images is None and not index.names:
        raise FileNotFoundError(f"{root}: it contains no images/; {needed}")
    if masks is None and not _has_masks_beside(index):
        empty = _subfolder(root, MASK_FOLDERS)
        if empty is not None:
            raise FileNotFoundError(f"{empty}: it contains no masks ({SUFFIXES_IN_WORDS}){_instead(empty)}; {needed}")
        masks = FileIndex(root, tuple(_subfolders(root, IMAGE_FOLDERS)))  # in a folder of another name
        if images is None or not masks.names:
            raise FileNotFoundError(f"{root}: it contains no masks/; {needed}{_annotations(root)}")
    return Layout(root, index, masks)


def split_layout(root: Path, split: str) -> Layout | None:
    """Where the images and masks of a split are that has its own folder: images/train or train/images."""
    images = _subfolder(root, IMAGE_FOLDERS)
    if images is not None and (own := _subfolder(images, SPLIT_FOLDERS[split])):
        for name in _subfolders(root, MASK_FOLDERS):
            if masks := _subfolder(root / name, SPLIT_FOLDERS[split]):
                return Layout(root, FileIndex(own), FileIndex(masks))
        return Layout(root, FileIndex(own), _masks_below(root))
    if own := _subfolder(root, SPLIT_FOLDERS[split]):
        images = _subfolder(own, IMAGE_FOLDERS)
        if images is not None:
            return Layout(root, FileIndex(images), _masks_below(own))
        return Layout(root, FileIndex(own, tuple(_subfolders(own, MASK_FOLDERS))), _masks_below(own))
    return None


def list_of(root: Path, split: str) -> Path | None:
    """The list of a split: train.txt, or another name for it; None where there is none."""
    for place in LIST_FOLDERS:
        names = {name.lower(): name for name in sorted(_names(root / place), reverse=True)}
        for word in SPLIT_FOLDERS[split]:
            for ending in LIST_ENDINGS:
                if (name := names.get(word + ending)) and (root / place / name).is_file():
                    return root / place / name
    return None


def leftovers(root: Path, used: set[str]) -> dict[str, list[str]]:
    """The images and masks of a user's folder that no split uses, by what they are.

    Args:
        root: The folder.
        used: The files of all images and masks of both splits.
    """
    root = expanded(root)
    listed = any(list_of(root, split) for split in SPLIT_FOLDERS)
    layouts = [layout_of(root)] if listed else [split_layout(root, split) for split in SPLIT_FOLDERS]
    images: list[str] = []
    masks: list[str] = []
    for layout in filter(None, layouts):
        of_images = {layout.images.path(name) for names in layout.images.names.values() for name in names}
        of_masks = set[str]()
        if layout.masks is None:
            of_masks = {
                layout.images.path(name)
                for key in layout.images.names
                if is_marked(key)
                for name in layout.images.names[key]
            }
        else:
            of_masks = {layout.masks.path(name) for names in layout.masks.names.values() for name in names}
        images += sorted(of_images - of_masks - used)
        masks += sorted(of_masks - used)
    return {"images that no list names": images, "masks without a listed image": masks}


def folder_classes(root: Path) -> tuple[str, ...]:
    """The class names in `classes.txt`; see `class_names`.

    Raises:
        FileNotFoundError: There is no such folder or file.
        ValueError: A name is empty or repeated, or there are too few or too many.
    """
    root = expanded(root)
    if not root.is_dir():
        what = "a file, not a folder" if root.is_file() else "no such folder"
        raise FileNotFoundError(f"{root}: {what}; data.root must contain images/, masks/ and classes.txt")
    name = next((name for name in _names(root) if name.lower() == "classes.txt"), "classes.txt")
    if not (root / name).is_file():
        raise FileNotFoundError(
            f"{root / name} is missing; write one class name per line, the background first{_near_classes(root)}"
        )
    return class_names(root / name)


def binary_table() -> np.ndarray:
    """The label of each value of a binary mask: 255 is label 1."""
    table = np.arange(N_IDS, dtype=np.uint8)
    table[IGNORE] = 1
    return table


def open_split(split: str, data: Data, seed: int = 0) -> FileSource:
    """Open a split of the folder `data.root`, for the catalogue; the seed is not used."""
    assert data.root is not None  # the catalogue checks it
    return folder(data.root, split, data.binary)


def _masks_below(root: Path) -> FileIndex | None:
    """The folder of masks; None where there is none, or none with pictures."""
    for name in _subfolders(root, MASK_FOLDERS):
        index = FileIndex(root / name)
        if index.names:
            return index
    return None


def _near_classes(root: Path) -> str:
    """What may hold the classes instead: a list of another name, or the data set one folder deeper."""
    for name in sorted(_names(root)):
        stem, ending = os.path.splitext(name.lower())
        if stem.replace("_", "") in CLASS_WORDS and ending in CLASS_ENDINGS:
            return f" ({one_line(name)} is there: rename it, or copy its names)"
        if (root / name / "classes.txt").is_file():
            return f" (it is in {one_line(str(root / name))}: is that the folder for data.root?)"
    return ""


def _other_lists(root: Path) -> str:
    """The lists of other splits, as " (there is test.txt)"; "" where there are none."""
    known = {f"{word}{ending}" for words in SPLIT_FOLDERS.values() for word in words for ending in LIST_ENDINGS}
    names = [name for name in sorted(_names(root)) if name.lower().endswith(LIST_ENDINGS)]
    others = [name for name in names if name.lower() not in {*known, "classes.txt"} and not name.startswith(".")]
    return f" (there is {', '.join(map(one_line, others[:3]))})" if others else ""


def _instead(folder: Path) -> str:
    """What a folder without masks holds instead, as " but 12 files .npy"; "" where it is empty."""
    endings = Counter(os.path.splitext(name)[1].lower() for name in _names(folder) if not name.startswith("."))
    endings.pop("", None)
    if not endings:
        return ""
    ending, number = endings.most_common(1)[0]
    hint = CONVERT if ending in ANNOTATIONS else ""
    return f", but {number:,} file{'s' * (number != 1)} {one_line(ending)}{hint}"


def _annotations(root: Path) -> str:
    """How masks are made from the annotations in a folder; "" where there are none."""
    found = any(name.lower().endswith(ANNOTATIONS) for name in _names(root))
    return CONVERT if found else ""


def _has_masks_beside(index: FileIndex) -> bool:
    return bool(index.marked) or any(len(names) > 1 for names in index.names.values())


def _subfolder(root: Path, known: tuple[str, ...]) -> Path | None:
    return next((root / name for name in _subfolders(root, known)), None)


def _subfolders(root: Path, known: tuple[str, ...]) -> list[str]:
    """The names of the sub-folders with known names, in any case, the likeliest first."""
    names = {name.lower(): name for name in sorted(_names(root), reverse=True)}
    return [names[word] for word in known if word in names and (root / names[word]).is_dir()]


def _names(folder: Path) -> list[str]:
    with needing_rights(folder):
        return os.listdir(folder) if folder.is_dir() else []
