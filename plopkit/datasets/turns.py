"""The turn of a photograph that its EXIF flag asks for, applied to its pixels and, where need be, to its mask's."""

from typing import Any, NamedTuple

import numpy as np

ORIENTATION = 0x0112
TURNED_SIDES = (5, 6, 7, 8)
"""Orientations that exchange width and height."""


class Turn(NamedTuple):
    """How an image and its mask are turned. 1 is upright; the others are EXIF's orientations."""

    image: int = 1
    mask: int = 1

    @property
    def is_sure(self) -> bool:
        """Whether the sizes show for which of the two positions the mask was drawn."""
        return self.image == 1 or self.mask != 1


def orientation_of(picture: Any) -> int:
    """The orientation in an opened picture's EXIF data: 1 to 8, 1 where there is none.

    That of a PNG may stand after its pixels: load them first. Pillow turns a TIFF itself.
    """
    if picture.format == "TIFF" or not {"exif", "xmp", "XML:com.adobe.xmp", "Raw profile type exif"} & set(
        picture.info
    ):
        return 1
    try:
        value = picture.getexif().get(ORIENTATION, 1)
    except Exception:  # damaged EXIF data raise almost anything, and hold no orientation
        return 1
    return value if value in range(2, 9) else 1


def turn_of(image_size: tuple[int, int], turned: int, mask_size: tuple[int, int]) -> Turn | None:
    """How an image and its mask are turned so that they fit; None where they do not.

    A viewer, and most tools that draw masks, show the picture turned: then the mask stays. Where the sizes tell that
    the mask was drawn on the picture as it is stored, it is turned as well.

    Args:
        image_size: Width and height as stored.
        turned: The image's orientation.
        mask_size: Width and height of the mask.
    """
    shown = image_size[::-1] if turned in TURNED_SIDES else image_size
    if mask_size == shown:
        return Turn(turned)
    return Turn(turned, turned) if mask_size == image_size else None


def turned(values: np.ndarray, orientation: int) -> np.ndarray:
    """Pixels (H, W) or (H, W, 3) turned upright, as a new array where they are not yet."""
    if orientation == 1:
        return values
    if orientation in TURNED_SIDES:
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return np.ascontiguousarray(values)
