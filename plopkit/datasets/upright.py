"""Any picture as 8-bit colours, turned as its EXIF flag says: what a viewer shows is what a net sees."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from plopkit.datasets.pictures import load, opened, pixels

ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def read_upright(path: str | Path) -> UInt8[np.ndarray, "H W 3"]:
    """The colours of a picture's file, turned upright.

    Raises:
        ValueError: It is not a readable picture. The message names the file.
        OSError: There is no such file, or it cannot be opened.
    """
    with open(path, "rb"):  # whose errors say more than those about its contents
        pass
    with opened(path) as picture:
        return upright(load(picture, path), path)


def upright(picture: Image.Image, name: str | Path = "the picture") -> UInt8[np.ndarray, "H W 3"]:
    """The colours of a decoded picture of any mode, turned upright. 16 bits of grey become their upper 8.

    Raises:
        ValueError: Its pixels are numbers of 32 bits, of which nothing says which one is white.
    """
    turn = _TURNS.get(_orientation(picture))
    picture = picture if turn is None else picture.transpose(turn)
    if picture.mode.startswith("I;16"):
        return (np.asarray(picture) >> 8).astype(np.uint8)[..., None].repeat(3, 2)
    if picture.mode in ("I", "F"):
        raise ValueError(f"{name}: pixels of the kind {picture.mode!r}, numbers of 32 bits; save it with 8 bits")
    return pixels(picture, name, "RGB")


def _orientation(picture: Image.Image) -> Any:
    try:
        return picture.getexif().get(ORIENTATION)
    except Exception:  # damaged EXIF data raise almost anything, and hold no orientation
        return None
