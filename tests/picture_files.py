"""Writes images and masks to disk."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

COLOURS = np.random.default_rng(7).integers(0, 256, (256, 3), np.uint8)


def write_pair(image: Path, mask: Path, labels: Sequence[int], size: tuple[int, int], seed: int, palette: bool) -> None:
    """Write an image and its mask: one vertical stripe per label, background first, coloured by label.

    Pixels on the left and upper edge of the mask are ignored (255); ``size`` is (height, width).
    """
    height, width = size
    stripes = np.array([0, *labels], np.uint8)
    values = np.repeat(stripes[np.arange(width) * len(stripes) // width][None], height, 0)
    noise = np.random.default_rng(seed).integers(-10, 11, (height, width, 3))
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray((COLOURS[values] + noise).clip(0, 255).astype(np.uint8)).save(image, quality=95)
    values[:, 0] = values[0] = 255
    picture = Image.fromarray(values)
    if palette:
        picture.putpalette(COLOURS.tobytes())
    picture.save(mask)


def read_values(path: Path) -> np.ndarray:
    """The pixels of an image or mask, as Pillow reads them."""
    return np.array(Image.open(path))


def save_mask(path: Path, values: np.ndarray, **options: object) -> None:
    Image.fromarray(values).save(path, **options)


def truncate(path: Path, share: float) -> None:
    """Keep only the first bytes of a file, a share of all."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
