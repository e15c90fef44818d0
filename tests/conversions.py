"""Small sources of other tools, and what a conversion makes of them."""

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from plopkit.datasets.convert.conversion import BY_SOURCE, Converted, Division
from plopkit.datasets.convert.conversion import convert as convert_source
from plopkit.datasets.convert.request import Request
from plopkit.viz.colours import palette

EXIF_ORIENTATION = 0x0112


def save_image(
    path: Path, size: tuple[int, int] = (6, 8), orientation: int = 1, pixels: np.ndarray | None = None
) -> Path:
    """Save an image of (height, width); a JPEG may have EXIF's flag."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if pixels is None:
        pixels = np.full((*size, 3), 90, np.uint8)
    picture = Image.fromarray(pixels)
    exif = picture.getexif()
    if orientation != 1:
        exif[EXIF_ORIENTATION] = orientation
    picture.save(path, exif=exif)
    return path


def save_json(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    return path


def png_base64(values: np.ndarray, **options: Any) -> str:
    """A PNG in base64, as labelme embeds masks and images."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG", **options)
    return base64.b64encode(buffer.getvalue()).decode()


def convert(*sources: Path, root: Path, format: str = "auto", division: Division = BY_SOURCE, link: bool = False,
            **choices: Any) -> Converted:  # fmt: skip
    """Convert as the command does, without a progress bar."""
    return convert_source(Request(sources, **choices), root, palette, format, division, link, shown=False)


def masks_in(root: Path) -> dict[str, np.ndarray]:
    """The masks of a converted folder by stem."""
    return {path.stem: np.array(Image.open(path)) for path in sorted((root / "masks").iterdir())}


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def array(text: str) -> np.ndarray:
    """A mask written as digits, a row per word; `x` is 255."""
    return np.array([[255 if c == "x" else int(c) for c in row] for row in text.split()], np.uint8)
