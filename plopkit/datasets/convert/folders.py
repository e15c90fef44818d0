"""Folders of images and of masks with the same names: coloured, binary, or of ids."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import NamedTuple

import numpy as np

from plopkit.datasets.convert.annotated import BACKGROUND, Annotated, Canvas, ClassNames, Notes, Picture
from plopkit.datasets.convert.colours import Colour, colour_table, has_colours, paint_colours
from plopkit.datasets.convert.ids import paint_ids
from plopkit.datasets.convert.images import Images
from plopkit.datasets.convert.request import Request
from plopkit.datasets.convert.splits import split_of
from plopkit.datasets.lists import read_lines
from plopkit.datasets.pictures import opened, pixels

Fill = Callable[[Canvas, np.ndarray, str], None]
"""Paints a canvas by the pixels of a mask's file, whose name is for messages."""
Splits = Callable[[PurePath], str | None]
"""The split of an image by its path."""

IMAGE_FOLDERS = ("images", "image", "imgs", "img", "jpegimages", "leftimg8bit", "photos")
MASK_FOLDERS = (
    "masks", "mask", "segmentationclass", "segmentationclassaug", "segmentation", "annotations", "labels", "label",
    "gt", "groundtruth", "ground_truth", "masks_rgb", "gtfine",
)  # fmt: skip
"""Names, in any case, in the order in which they are tried."""
MASK_ENDINGS = re.compile(r"[ _.-]?(mask|masks|label|labels|l|seg|segmentation|gt|color|colour|rgb)$", re.IGNORECASE)
"""What mask files have after the stem of their image: 0001_L.png in CamVid, a_mask.png in Kaggle's."""


class Pair(NamedTuple):
    """An image and its mask."""

    name: str
    image: Path
    mask: Path


def read(request: Request) -> Annotated:
    """Read a folder of images and one of masks, with the same names below them.

    Raises:
        ValueError: Neither classes nor `binary` was given, or the table is wrong.
        FileNotFoundError: A folder, an image or its mask is missing.
    """
    names, notes = ClassNames(), Notes()
    if request.binary:
        colours = {(0, 0, 0): BACKGROUND, (255, 255, 255): names.add(request.binary, "--binary")}
        return annotated(request, colour_fill(colours, request), names, notes)
    if request.classes is None:
        raise ValueError(
            f"{request.source}: a table of the classes' colours is needed: --classes FILE, a CSV file with a line "
            "name,r,g,b for each, or a list of names where masks hold ids; or --binary NAME where they are black and "
            "white"
        )
    if has_colours(request.classes):
        colours = colour_table(request.classes, names)
        return annotated(request, colour_fill(colours, request), names, notes)
    listed = [names.add(line, str(request.classes)) for line in read_lines(request.classes)]

    def fill(canvas: Canvas, ids: np.ndarray, where: str) -> None:
        paint_ids(canvas, ids, listed, request.unknown, where)

    return annotated(request, fill, names, notes, mode=None)


def colour_fill(colours: Mapping[Colour, str], request: Request) -> Fill:
    """What paints masks of these colours."""

    def fill(canvas: Canvas, values: np.ndarray, where: str) -> None:
        paint_colours(canvas, values, colours, request.unknown, where)

    return fill


def annotated(
    request: Request, fill: Fill, names: ClassNames, notes: Notes, mode: str | None = "RGB", splits: Splits = split_of
) -> Annotated:
    """Pictures with their masks.

    Args:
        request: What was asked for.
        fill: Paints by the pixels of a mask.
        names: The classes.
        notes: For what is left out.
        mode: Of the pixels, for Pillow; None for that of the file.
        splits: The split of an image by its path below the folder of images.
    """
    pictures = []
    for pair in image_pairs(request, notes):
        with opened(pair.mask) as mask:
            size = mask.height, mask.width
        split = splits(Path(pair.name))
        pictures.append(Picture(pair.name, pair.image, str(pair.mask), _Painter(pair.mask, fill, mode), size, split))
    return Annotated(tuple(names.names), tuple(pictures), notes)


def image_pairs(request: Request, notes: Notes) -> list[Pair]:
    """Images and masks with the same path below their folders, apart from suffix and endings such as `_mask`.

    Raises:
        FileNotFoundError: A folder is missing, or the mask of an image.
        ValueError: An image has two masks.
    """
    images = Images(request.images or _folder(request.folder, IMAGE_FOLDERS, "images"))
    masks = Images(request.masks or _folder(request.folder, MASK_FOLDERS, "masks"))
    by_key: dict[tuple[str, ...], Path] = {}
    for path in masks.files:
        for key in _keys(path.relative_to(masks.folder)):
            if (other := by_key.setdefault(key, path)) != path and key == _keys(path.relative_to(masks.folder))[0]:
                raise ValueError(f"{other} and {path} are masks of the same image; keep one")
    pairs, missing = [], []
    for path in images.files:
        below = path.relative_to(images.folder)
        if path in masks.files:
            continue
        mask = by_key.get(_keys(below)[0])
        if mask is None:
            missing.append(path)
        else:
            pairs.append(Pair(below.as_posix(), path, mask))
    if missing and "missing" not in request.leave_out:
        more = f" (and {len(missing) - 1:,} more)" if len(missing) > 1 else ""
        raise FileNotFoundError(
            f"{missing[0]}: there is no mask with this name in {masks.folder}{more}; add it, name the folder with "
            "--masks, or leave such pictures out with --leave-out missing"
        )
    for path in missing:
        notes.add("images without a mask, left out", path)
    if not pairs:
        raise FileNotFoundError(f"{images.folder}: it contains no images; name their folder with --images")
    return pairs


class _Painter:
    def __init__(self, mask: Path, fill: Fill, mode: str | None):
        self.mask, self.fill, self.mode = mask, fill, mode

    def __call__(self, canvas: Canvas) -> None:
        with opened(self.mask) as picture:
            values = pixels(picture, self.mask, self.mode)
        if values.ndim != (2 if self.mode is None else 3):
            raise ValueError(f"{self.mask}: a mask of ids is grey, but this has colours; name them in --classes")
        self.fill(canvas, values, str(self.mask))


def _keys(path: Path) -> list[tuple[str, ...]]:
    """What a file is called: its path without suffix, and also without an ending such as `_mask`."""
    stem = tuple(part.casefold() for part in (*path.parent.parts, path.stem))
    short = MASK_ENDINGS.sub("", path.stem)
    return [stem, (*stem[:-1], short.casefold())] if short and short != path.stem else [stem]


def _folder(root: Path, names: Sequence[str], what: str) -> Path:
    found = {entry.name.casefold(): entry for entry in sorted(root.iterdir()) if entry.is_dir()}
    name = next((name for name in names if name in found), None)
    if name is None:
        raise FileNotFoundError(
            f"{root}: it contains no folder of {what} ({', '.join(names[:3])}, …); name it with --{what}"
        )
    return found[name]
