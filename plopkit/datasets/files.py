"""A source that reads image and mask files; every error names the file and says what to do."""

import hashlib
import os
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image

from plopkit.datasets.contents import earlier_fingerprint, pair_digests, place_key
from plopkit.datasets.listing import file_states
from plopkit.datasets.lookup import label_counts, look_up
from plopkit.datasets.masks import WIDE_MODES, kind_of, mask_labels, outside
from plopkit.datasets.pictures import load, opened, pixels
from plopkit.datasets.source import Inspection, Pair, Source, digest_of
from plopkit.datasets.turns import Turn, orientation_of, turn_of, turned
from plopkit.scenario import ignored_id
from plopkit.support.moved import renamed

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


class FileSource(Source):
    """Images and masks on disk.

    The constructor checks that all files exist; their pixels are checked by `labels` and `read`.

    Args:
        classes: The name of each label; a mask may contain the labels 0 to len(classes) - 1, and 255.
        stems: The name of each image.
        images: The file of each image.
        masks: The file of each mask, of a kind that `mask_labels` reads. Beyond 255 classes it has 16 bits, and 65535
            takes the place of 255.
        table: The label of each id in the masks, (256,) uint8, where these are not the labels themselves.
        turn: Whether images are turned as their EXIF flag says (`turn_of`). The released codes turn none.
        remarks: What was put right when the files were looked for.

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
        turn: bool = False,
        remarks: Sequence[str] = (),
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
        self.remarks = tuple(remarks)
        self._table = table
        self._turn = turn
        there = list(filter(None, states))
        self._about = f"{len(self.classes)}\n".encode() + (b"" if table is None else table.tobytes())
        self._place_key = place_key(there, self._about + (b"turned" if turn else b""))
        self.earlier_fingerprint = earlier_fingerprint(there, self._about)

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]  # the files are read when it is asked for
        return hashlib.sha256(self._about + "".join(self.digests).encode()).hexdigest()[:20]

    @cached_property
    def digests(self) -> tuple[str, ...]:  # type: ignore[override]
        table = pair_digests(self.stems, self._images, self._masks, self.digest, self._place_key)
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
            return 16 if picture.mode in WIDE_MODES else 8

    def stored_bytes(self, index: int) -> int:
        return os.stat(self._images[index]).st_size + os.stat(self._masks[index]).st_size

    def where(self, index: int) -> str:
        return self._masks[index]

    def read(self, index: int) -> Pair:
        image, orientation = self._image(index)
        mask = self._mask(index)
        turn = self._fitting(index, image.shape[1::-1], orientation, mask)
        return Pair(
            torch.from_numpy(turned(image, turn.image)).permute(2, 0, 1), torch.from_numpy(turned(mask, turn.mask))
        )

    def labels(self, index: int) -> frozenset[int]:
        mask = self._mask(index)
        self._check_image(index, mask)
        return frozenset(self._counts(index, mask).nonzero()[0].tolist())

    def inspect(self, index: int) -> Inspection:
        try:
            mask = self._mask(index)
            image, orientation = self._image(index)
            turn = self._fitting(index, image.shape[1::-1], orientation, mask)
            counts = self._counts(index, mask)
        except ValueError:
            self.labels(index)  # a run says what this says
            raise
        image = turned(image, turn.image)
        return Inspection(counts, image.shape[:2], turn, digest_of(image))

    def _counts(self, index: int, mask: np.ndarray) -> np.ndarray:
        counts = label_counts(torch.from_numpy(mask))
        wrong = np.flatnonzero(counts[len(self.classes) : self._ignored])
        if len(wrong):
            raise outside(self._masks[index], len(self.classes) + int(wrong[0]), len(self.classes))
        return counts

    def _mask(self, index: int) -> np.ndarray:
        path = self._masks[index]
        with opened(path) as picture:
            ids = mask_labels(picture, path, len(self.classes))
        return ids if self._table is None else look_up(torch.from_numpy(ids), self._table).numpy()

    def _image(self, index: int) -> tuple[np.ndarray, int]:
        """An image as it is stored, and its orientation."""
        path = self._images[index]
        with opened(path) as picture:
            _check_depth(picture, path)
            return pixels(picture, path, "RGB"), orientation_of(picture) if self._turn else 1

    def _check_image(self, index: int, mask: np.ndarray) -> None:
        """Check an image by its header, and that it is not truncated: better now than in the middle of training."""
        path = self._images[index]
        with opened(path) as picture:
            _check_depth(picture, path)
            size = picture.size
            if not (picture.format == "JPEG" and _ends_as_jpeg(path)):
                # An eighth of a JPEG is cheap; no pixel is used.
                picture.draft("RGB", (picture.width // 8 or 1, picture.height // 8 or 1))
                load(picture, path)
            orientation = orientation_of(picture) if self._turn else 1
        self._fitting(index, size, orientation, mask)

    def _fitting(self, index: int, image_size: tuple[int, int], orientation: int, mask: np.ndarray) -> Turn:
        """How an image and its mask are turned; an error where their sizes differ."""
        mask_size = mask.shape[1], mask.shape[0]
        turn = turn_of(image_size, orientation, mask_size)
        if turn is None:
            raise _size_mismatch(self._images[index], image_size, self._masks[index], mask_size)
        return turn


def _check_depth(picture: Image.Image, path: str) -> None:
    if picture.mode.startswith(("I", "F")):  # converted to RGB by Pillow, every value above 255 would be white
        raise ValueError(
            f"{path}: an image must have 8 bits per channel (grey or colour), but this is {kind_of(picture)!r}; "
            "save it with 8 bits"
        )


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
