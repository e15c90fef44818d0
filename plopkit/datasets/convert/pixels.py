"""The image and the mask of a picture as they are written: upright, JPEG or PNG, of one size."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Integer, UInt8
from PIL import Image, ImageOps

from plopkit.datasets.convert.annotated import Canvas, Labels, Notes, Picture
from plopkit.datasets.convert.shapes import Size
from plopkit.datasets.pictures import load, opened

ORIENTATION = 0x0112
"""The EXIF tag that says how a picture is to be turned before it is shown."""


class Header(NamedTuple):
    """What a file says about its image."""

    format: str
    stored: Size
    """Height and width of the pixels in the file."""
    orientation: int
    """1 for upright, else 2 to 8, as in EXIF."""

    @property
    def upright(self) -> Size:
        """Height and width of the picture as it is shown."""
        return self.stored if self.orientation < 5 else self.stored[::-1]


def write_image(path: Path, stem: Path, link: bool) -> tuple[Header, Path]:
    """Write an image upright and without EXIF's flag; where its file is so already, copy or link that.

    Args:
        path: The image.
        stem: Where it is written, without suffix.
        link: Whether to make a symbolic link instead of a copy.

    Returns:
        The image's header, and what was written.

    Raises:
        ValueError: It is no image, damaged, or has more than 8 bits per channel.
    """
    with opened(path) as picture:
        header = _header(picture, path)
        suffix = ".jpg" if header.format == "JPEG" else ".png"
        target = stem.with_name(stem.name + suffix)
        if header.format in ("JPEG", "PNG") and header.orientation == 1:
            picture.draft("RGB", (picture.width // 8 or 1, picture.height // 8 or 1))  # a part of a JPEG is quick
            load(picture, path)
            if link:
                target.symlink_to(os.path.abspath(path))
            else:
                shutil.copyfile(path, target)
            return header, target
        upright = ImageOps.exif_transpose(load(picture, path))
        upright = upright if upright.mode in ("L", "RGB") else upright.convert("RGB")
        # A picture is turned once, so that its JPEG loses little.
        options: dict[str, Any] = {"quality": 95, "subsampling": 0} if suffix == ".jpg" else {}
        upright.info.clear()
        upright.save(target, **options)
    return header, target


def _header(picture: Image.Image, path: Path) -> Header:
    if picture.mode.startswith(("I", "F")):
        raise ValueError(
            f"{path}: an image must have 8 bits per channel, but its mode is {picture.mode}; save it with 8"
        )
    kind = "JPEG" if picture.format == "MPO" else str(picture.format)  # several pictures in one JPEG, by phones
    try:
        # Pillow turns a TIFF itself, while it is decoded.
        orientation = 1 if kind == "TIFF" else int(picture.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF, which viewers do not obey either
        orientation = 1
    return Header(kind, (picture.height, picture.width), orientation if 2 <= orientation <= 8 else 1)


def painted_mask(picture: Picture, header: Header, labels: Labels, notes: Notes) -> Integer[np.ndarray, "h w"]:
    """The mask of a picture, upright.

    Most tools show a picture upright and annotate it so. Where the annotation's size is that of the stored pixels, the
    mask is turned as the image is.

    Raises:
        ValueError: The annotation has another size, or is damaged.
    """
    frame = picture.frame or header.upright
    if frame not in (header.upright, header.stored):
        raise ValueError(
            f"{picture.where}: the annotation is for {frame[1]} x {frame[0]} pixels, but the image has "
            f"{header.upright[1]} x {header.upright[0]}; was it resized after it was annotated?"
        )
    canvas = Canvas(frame, labels, notes, picture.where)
    picture.paint(canvas)
    if header.orientation == 1:
        return canvas.mask
    if frame == header.upright:
        notes.add("pictures turned by their EXIF flag; their annotations are for the turned ones", picture.where)
        return canvas.mask
    notes.add("pictures turned by their EXIF flag, and their masks with them", picture.where)
    return turned(canvas.mask, header.orientation)


def turned(mask: np.ndarray, orientation: int) -> np.ndarray:
    """Turn an array as EXIF's flag turns a picture.

    Args:
        mask: (h, w).
        orientation: 1 to 8.
    """
    turns: dict[int, Callable[[Any], Any]] = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: np.transpose,
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).T,
        8: np.rot90,
    }
    return turns[orientation](mask)


def write_mask(mask: Integer[np.ndarray, "h w"], path: Path, colours: UInt8[np.ndarray, "ids 3"]) -> None:
    """Write labels as a PNG: 8 bits with a palette, or 16 bits of grey."""
    picture = Image.fromarray(np.ascontiguousarray(mask))
    if mask.dtype == np.uint8:
        picture.putpalette(colours.tobytes())
    picture.save(path)
