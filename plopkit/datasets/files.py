"""A source that reads image and mask files; every error names the file and says what to do."""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from plopkit.datasets.contents import earlier_fingerprint, pair_digests, place_key
from plopkit.datasets.listing import file_states
from plopkit.datasets.lookup import label_counts, look_up
from plopkit.datasets.pictures import load, opened, pixels
from plopkit.datasets.source import Pair, Source
from plopkit.scenario import IGNORE, WIDE_IGNORE, ignored_id
from plopkit.support.places import read_limited
from plopkit.support.printable import control_character, one_line

MASK_KINDS = {
    IGNORE: ("8-bit channel (grey or palette)", ("PNG L", "PNG P")),
    WIDE_IGNORE: ("16-bit channel (grey), because there are more than 255 classes", ("PNG I;16",)),
}
"""By the label of ignored pixels: the kind of file that can hold the labels, in words and as Pillow says it."""


LARGEST_LIST = 2**24
"""Bytes of a list: a million names."""
LONGEST_LINE = 1000


class FileSource(Source):
    """Images and masks on disk.

    The constructor checks that all files exist; their pixels are checked by `labels` and `read`.

    Args:
        classes: The name of each label; a mask may contain the labels 0 to len(classes) - 1, and 255.
        stems: The name of each image.
        images: The file of each image.
        masks: The file of each mask: a PNG with one 8-bit channel. Beyond 255 classes it has 16 bits, and 65535 takes
            the place of 255.
        table: The label of each id in the masks, (256,) uint8, where these are not the labels themselves.

    Raises:
        FileNotFoundError: A file is missing.
    """

    def __init__(
        self,
        classes: Sequence[str],
        stems: Sequence[str],
        images: Sequence[str | Path],
        masks: Sequence[str | Path],
        table: UInt8[np.ndarray, "256"] | None = None,
    ):
        # Texts, because making a path takes longer than looking at its file.
        self._images, self._masks = ([os.fspath(path) for path in paths] for paths in (images, masks))
        paths = self._images + self._masks
        states = file_states(paths)
        if missing := [path for path, state in zip(paths, states, strict=True) if state is None]:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise FileNotFoundError(
                f"{missing[0]} is missing{more}; complete the data set, or remove the image from the split file"
            )
        self.classes = tuple(classes)
        self._ignored = ignored_id(len(self.classes))
        self.stems = tuple(stems)
        self._table = table
        there = list(filter(None, states))
        self._about = f"{len(self.classes)}\n".encode() + (b"" if table is None else table.tobytes())
        self._place_key = place_key(there, self._about)
        self.earlier_fingerprint = earlier_fingerprint(there, self._about)

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]  # the files are read when it is asked for
        return hashlib.sha256(self._about + "".join(self.digests).encode()).hexdigest()[:20]

    @cached_property
    def digests(self) -> tuple[str, ...]:  # type: ignore[override]
        table = pair_digests(self._images, self._masks, self.digest, self._place_key)
        return tuple(row.tobytes().hex() for row in table)

    @property
    def cache_key(self) -> str:
        return self._place_key

    @cached_property
    def images(self) -> tuple[Path, ...]:
        """The file of each image."""
        return tuple(map(Path, self._images))

    @cached_property
    def masks(self) -> tuple[Path, ...]:
        """The file of each mask."""
        return tuple(map(Path, self._masks))

    def mask_bits(self, index: int) -> int:
        """Bits per pixel of a mask's file: 8 or 16."""
        with opened(self._masks[index]) as picture:
            return 16 if picture.mode.startswith("I") else 8

    def where(self, index: int) -> str:
        return self._masks[index]

    def read(self, index: int) -> Pair:
        with opened(self._images[index]) as picture:
            _check_depth(picture, self._images[index])
            image = pixels(picture, self._images[index], "RGB")
        mask = self._mask(index)
        if image.shape[:2] != mask.shape:
            raise _size_mismatch(self._images[index], image.shape[1::-1], self._masks[index], mask.shape[::-1])
        return Pair(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask))

    def labels(self, index: int) -> frozenset[int]:
        mask = torch.from_numpy(self._mask(index))
        present = label_counts(mask).nonzero()[0].tolist()
        self._check_image(index, (mask.shape[1], mask.shape[0]))
        outside = [label for label in present if len(self.classes) <= label < self._ignored]
        if outside:
            raise ValueError(
                f"{self._masks[index]}: label {outside[0]} is outside the classes, which are 0 to "
                f"{len(self.classes) - 1}; correct the mask ({self._ignored} marks ignored pixels), or add the class "
                "name"
            )
        return frozenset(present)

    def _mask(self, index: int) -> np.ndarray:
        path = self._masks[index]
        with opened(path) as picture:
            channel, kinds = MASK_KINDS[self._ignored]
            if (kind := _kind(picture)) not in kinds:
                raise ValueError(
                    f"{path}: a mask must be a PNG with one {channel}, but this is {kind!r}; "
                    f"save the labels in that format ({self._ignored} marks ignored pixels)"
                )
            ids = pixels(picture, path)
        return ids if self._table is None else look_up(torch.from_numpy(ids), self._table).numpy()

    def _check_image(self, index: int, mask_size: tuple[int, int]) -> None:
        """Check an image by its header, and that it is not truncated: better now than in the middle of training."""
        path = self._images[index]
        with opened(path) as picture:
            _check_depth(picture, path)
            if picture.size != mask_size:
                raise _size_mismatch(path, picture.size, self._masks[index], mask_size)
            if not (picture.format == "JPEG" and _ends_as_jpeg(path)):
                # An eighth of a JPEG is cheap; no pixel is used.
                picture.draft("RGB", (picture.width // 8 or 1, picture.height // 8 or 1))
                load(picture, path)


def _check_depth(picture: Image.Image, path: str) -> None:
    if picture.mode.startswith(("I", "F")):  # converted to RGB by Pillow, every value above 255 would be white
        raise ValueError(
            f"{path}: an image must have 8 bits per channel (grey or colour), but this is {_kind(picture)!r}; "
            "save it with 8 bits"
        )


def _kind(picture: Any) -> str:
    """File format and mode.

    Grey images of 2 and 4 bits are "L;2" and "L;4": Pillow stretches their values, so label 1 would become 85 or 17.
    Palette images of 1, 2 or 4 bits are not stretched.
    """
    grey_png = (picture.format, picture.mode) == ("PNG", "L") and picture.tile
    return f"{picture.format} {picture.tile[0][3] if grey_png else picture.mode}"


def _ends_as_jpeg(path: str) -> bool:
    """Whether the last bytes are the marker "end of image", which a truncated file lacks."""
    with open(path, "rb") as file:
        file.seek(-2, os.SEEK_END)
        return file.read() == b"\xff\xd9"


def _size_mismatch(image: str, image_size: tuple[int, ...], mask: str, mask_size: tuple[int, ...]) -> ValueError:
    return ValueError(
        f"{image} has {image_size[0]} x {image_size[1]} pixels, but its mask {mask} has {mask_size[0]} x "
        f"{mask_size[1]}; make them equal (was one of them resized, or rotated by its EXIF flag?)"
    )


def in_folder(folder: Path, names: Iterable[str], suffix: str = "") -> list[str]:
    """The paths of files in one folder, as texts: quicker than `folder / name` for many of them."""
    prefix = os.path.join(folder, "")
    return [f"{prefix}{name}{suffix}" for name in names]


def read_stems(path: Path, columns: bool = False) -> list[str]:
    """Read the file stems in a split file, one per line.

    Args:
        path: The split file.
        columns: Whether lines have several columns, of which only the first is read.

    Raises:
        ValueError: The file is empty, repeats a stem, or is not UTF-8.
    """
    stems = [line.split()[0] if columns else line for line in read_lines(path) if line]
    if not stems:
        raise ValueError(f"{path}: the split is empty; write one file stem per line")
    if repeated := [stem for stem, times in Counter(stems).items() if times > 1]:
        raise ValueError(f"{path}: {one_line(repeated[0])} is listed twice; list every image once")
    return stems


def read_lines(path: Path) -> list[str]:
    """Read the lines of a list, without trailing blank lines.

    Raises:
        ValueError: It is larger than `LARGEST_LIST`, not UTF-8, or a line is no name: too long, or with a control
            character. The message names the line.
    """
    try:
        text = read_limited(path, LARGEST_LIST, "a list").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 text ({error}); save it as UTF-8") from error
    # Only line ends separate lines: str.splitlines also splits at separators that may stand in a name by mistake.
    text = text.rstrip().replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.strip() for line in text.split("\n")] if text else []
    for number, line in enumerate(lines, 1):
        if not line.isprintable() and (wrong := control_character(line.replace("\t", " "))):
            raise ValueError(f"{path}: line {number} holds the control character {wrong}; correct the line")
        if len(line) > LONGEST_LINE:
            raise ValueError(f"{path}: line {number} has {len(line):,} characters; write one name per line")
    return lines
