"""Supervisely's projects: meta.json, and in each data set img/ and ann/ with a JSON file per picture.

Format: https://docs.supervisely.com, "Supervisely JSON format". Objects are painted in their order, polygons and
rectangles with the pixels on their outlines, as Supervisely's own library draws them.
"""

import base64
import binascii
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from plopkit.datasets.convert import shapes
from plopkit.datasets.convert.annotated import Annotated, Canvas, ClassNames, Notes, Picture
from plopkit.datasets.convert.images import files_below
from plopkit.datasets.convert.reading import frame_of, located, points_of, read_json, required
from plopkit.datasets.convert.request import Request
from plopkit.datasets.convert.splits import known_split, split_of
from plopkit.support.printable import one_line

LARGEST_BITMAP = 2**26
"""Bytes of a bitmap's PNG: more than any has that fits into a picture."""


def read(request: Request) -> Annotated:
    """Read a project.

    Raises:
        ValueError: meta.json or an object is damaged. The message names file and object.
        FileNotFoundError: An image is missing.
    """
    names, notes = ClassNames(), Notes()
    meta = request.folder / "meta.json"
    kinds = {}
    for number, entry in enumerate(required(read_json(meta), "classes", list, str(meta))):
        where = f"{meta}: class {number}"
        name = names.add(required(entry, "title", str, where), where)
        kinds[name] = entry.get("shape")
    pictures = []
    for path in annotation_files(request.folder):
        content = read_json(path)
        drawn = []
        for number, shape in enumerate(required(content, "objects", list, str(path))):
            where = f"{path}: object {number}"
            name = names.add(required(shape, "classTitle", str, where), where)
            if name not in kinds:
                raise ValueError(f"{where}: the class {one_line(name)} is not in {meta}; export the project again")
            drawn.append((name, shape, shape.get("geometryType") or kinds[name], where))
        frame = frame_of(required(content, "size", dict, str(path)), "height", "width", str(path))
        image_folder = path.parent.parent / "img"
        file = request.found_images.find(path.name.removesuffix(".json"), str(path), image_folder)
        if file is not None:
            below = path.relative_to(request.folder)
            split = _tagged_split(content) or split_of(below.parent)
            name = f"{below.parent.parent.as_posix()}/{file.name}"
            pictures.append(Picture(name, file, str(path), _Painter(drawn), frame, split, not drawn))
    request.found_images.check(notes)
    return Annotated(tuple(names.names), tuple(pictures), notes)


def annotation_files(folder: Path) -> list[Path]:
    """The annotations of all data sets in a project, also of nested ones."""
    return [path for path in files_below(folder) if path.parent.name == "ann" and path.suffix == ".json"]


def _tagged_split(content: Any) -> str | None:
    listed = content.get("tags")
    tags = [tag.get("name") for tag in listed if isinstance(tag, Mapping)] if isinstance(listed, list) else []
    return next(filter(None, (known_split(str(tag)) for tag in tags)), None)


class _Painter:
    def __init__(self, drawn: Sequence[tuple[str, Any, Any, str]]):
        self.drawn = drawn

    def __call__(self, canvas: Canvas) -> None:
        for name, shape, kind, where in self.drawn:
            try:
                mask = shape_mask(kind, shape, canvas.size, where)
            except (ValueError, binascii.Error, zlib.error, OSError) as error:
                raise located(error, where, "export the project again") from error
            if mask is None:
                canvas.notes.add("objects without an area, left out", where)
            else:
                canvas.paint(name, mask)


def shape_mask(kind: Any, shape: Any, size: shapes.Size, where: str) -> shapes.Mask | None:
    """The pixels of an object; None for points, lines and polygons of fewer than 3 points.

    Raises:
        ValueError: It is damaged.
    """
    if kind == "bitmap":
        bitmap = required(shape, "bitmap", dict, where)
        ((left, top),) = points_of([bitmap.get("origin")], where)
        return shapes.pasted(decoded_bitmap(required(bitmap, "data", str, where)), left, top, size)
    if kind not in ("polygon", "rectangle"):
        return None
    points = required(shape, "points", dict, where)
    exterior = points_of(points.get("exterior"), where)
    if kind == "rectangle":
        if len(exterior) != 2:
            raise ValueError(f"a rectangle has 2 points, not {len(exterior)}")
        return shapes.outlined_box(exterior[0], exterior[1], size)
    if len(exterior) < 3:
        return None
    mask = shapes.outlined_polygon(exterior, size)
    for hole in required(points, "interior", list, where) if points.get("interior") else []:
        mask &= ~shapes.outlined_polygon(points_of(hole, where), size)
    return mask


def decoded_bitmap(text: str) -> shapes.Mask:
    """Decode a bitmap: a PNG, compressed by zlib, in base64. Its alpha channel is the mask, or its values.

    Raises:
        ValueError: It is too large.
    """
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(base64.b64decode(text), LARGEST_BITMAP)
    if unpacker.unconsumed_tail:
        raise ValueError(f"its bitmap has more than {LARGEST_BITMAP:,} bytes")
    with Image.open(io.BytesIO(content), formats=["PNG"]) as picture:
        if "transparency" in picture.info or picture.mode in ("RGBA", "LA"):
            return np.asarray(picture.convert("RGBA"))[..., 3] > 0
        return np.asarray(picture.convert("L")) > 0
