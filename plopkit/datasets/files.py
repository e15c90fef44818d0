"""A source that reads image and mask files; every error names the file and what to do."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from plopkit.datasets.source import Pair, Source


class FileSource(Source):
    """Images and masks on disk. That all exist is checked at once, their pixels by ``labels`` and ``read``.

    classes: names by label; a mask may hold labels 0 … len(classes) - 1 and 255.
    """

    def __init__(self, classes: Sequence[str], stems: Sequence[str], images: Sequence[Path], masks: Sequence[Path]):
        missing = [path for path in (*images, *masks) if not path.is_file()]
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise FileNotFoundError(f"{missing[0]} is missing{more}; the split file names it, or complete the data set")
        self.classes = tuple(classes)
        self.stems = tuple(stems)
        self.images = tuple(images)
        self.masks = tuple(masks)
        self.fingerprint = _fingerprint((*images, *masks), len(self.classes))

    def where(self, index: int) -> str:
        return str(self.masks[index])

    def read(self, index: int) -> Pair:
        with _open(self.images[index]) as picture:
            _check_depth(picture, self.images[index])
            image = _pixels(picture, self.images[index], "RGB")
        mask = self._mask(index)
        if image.shape[:2] != mask.shape:
            raise _sizes_differ(self.images[index], image.shape[1::-1], self.masks[index], mask.shape[::-1])
        return Pair(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask))

    def labels(self, index: int) -> frozenset[int]:
        mask = self._mask(index)
        path = self.images[index]
        with _open(path) as picture:
            _check_depth(picture, path)
            if picture.size != mask.shape[::-1]:
                raise _sizes_differ(path, picture.size, self.masks[index], mask.shape[::-1])
            picture.draft("RGB", (picture.width // 8 or 1, picture.height // 8 or 1))  # JPEG: an eighth is cheap
            _pixels(picture, path)  # a truncated file shows itself here, not in the middle of a training
        present = np.bincount(mask.reshape(-1), minlength=256).nonzero()[0]
        foreign = [int(label) for label in present if len(self.classes) <= label < 255]
        if foreign:
            raise ValueError(
                f"{self.masks[index]}: label {foreign[0]} is outside the classes: 0 to {len(self.classes) - 1} are "
                "named, 255 is ignore; correct the mask, or add the class name"
            )
        return frozenset(map(int, present))

    def _mask(self, index: int) -> np.ndarray:
        path = self.masks[index]
        with _open(path) as picture:
            if (kind := _kind(picture)) not in ("PNG L", "PNG P"):
                raise ValueError(
                    f"{path}: a mask is a PNG of one 8-bit channel (grey or palette), this one is {kind!r}; "
                    "save the labels as such (255 = ignore)"
                )
            return _pixels(picture, path)


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: not a readable image ({error}); replace the file") from error


def _check_depth(picture: Image.Image, path: Path) -> None:
    if picture.mode.startswith(("I", "F")):  # as RGB, Pillow would make all above 255 white
        raise ValueError(
            f"{path}: an image has 8 bits a channel (grey or colour), this one is {_kind(picture)!r}; save it so"
        )


def _kind(picture: Any) -> str:
    """Format and mode. Greys of 2 and 4 bits are "L;2" and "L;4": Pillow stretches them, and label 1 would be 85 or 17.

    A palette of 1, 2 or 4 bits is not stretched.
    """
    grey_png = (picture.format, picture.mode) == ("PNG", "L") and picture.tile
    return f"{picture.format} {picture.tile[0][3] if grey_png else picture.mode}"


def _pixels(picture: Image.Image, path: Path, mode: str | None = None) -> np.ndarray:
    try:
        return np.array(picture.convert(mode) if mode else picture)  # a copy: torch wants memory that it may write to
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{path}: broken or cut short ({error}); replace the file") from error


def _sizes_differ(image: Path, image_size: tuple[int, ...], mask: Path, mask_size: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"{image} is {image_size[0]} x {image_size[1]} pixels, its mask {mask} {mask_size[0]} x {mask_size[1]}; "
        "they must be equal (was one of them resized or turned by its EXIF flag?)"
    )


def _fingerprint(paths: Sequence[Path], n_classes: int) -> str:
    """Of names, sizes and times of change: reading every byte would cost minutes."""
    digest = hashlib.sha256(f"{n_classes}\n".encode())
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.resolve()}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:20]


def read_stems(path: Path, columns: bool = False) -> list[str]:
    """The file stems of a split file, one a line; ``columns``: each line's first word, for others follow."""
    stems = [line.split()[0] if columns else line for line in read_lines(path) if line]
    if not stems:
        raise ValueError(f"{path}: the split is empty; write one file stem a line")
    if repeated := [stem for stem, times in Counter(stems).items() if times > 1]:
        raise ValueError(f"{path}: {repeated[0]} stands there twice; name every image once")
    return stems


def read_lines(path: Path) -> list[str]:
    """The lines of a text file to the last that is not blank; ValueError naming the file where it is not UTF-8."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8-sig").rstrip().splitlines()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error
