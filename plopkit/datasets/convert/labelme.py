"""labelme's JSON, a file per picture.

Format: https://github.com/wkentaro/labelme. Shapes are drawn as labelme's own `shapes_to_label` draws them: in their
order, with the pixels on the outline.
"""

import base64
import binascii
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from plopkit.datasets.convert import shapes
from plopkit.datasets.convert.annotated import Annotated, Canvas, ClassNames, Notes, Picture
from plopkit.datasets.convert.reading import frame_of, located, points_of, read_json, required
from plopkit.datasets.convert.request import Request
from plopkit.datasets.convert.splits import split_of
from plopkit.support.printable import one_line, quoted

NO_AREA = ("point", "points", "line", "linestrip")
"""Shapes without pixels of their own."""


def read(request: Request, files: Sequence[Path]) -> Annotated:
    """Read the files of all pictures.

    Args:
        request: What was asked for.
        files: The JSON files.

    Raises:
        ValueError: A shape is damaged. The message names file and shape.
        FileNotFoundError: An image is missing, and not embedded.
    """
    names, notes = ClassNames(), Notes()
    pictures = []
    for path in sorted(files):
        content = read_json(path)
        if not isinstance(content, dict) or "shapes" not in content:
            notes.add("JSON files that are not labelme's, left out", path)
            continue
        content["imageData"] = bool(content.get("imageData"))  # it would stay in memory
        drawn = []
        for number, shape in enumerate(required(content, "shapes", list, str(path))):
            where = f"{path}: shape {number}"
            name = names.add(required(shape, "label", str, where), where)
            drawn.append((name, shape, where))
        image, name = _image_of(request, path, content)
        if image is not None:
            painter = _Painter(drawn, notes)
            frame = frame_of(content, "imageHeight", "imageWidth", str(path))
            pictures.append(Picture(name, image, str(path), painter, frame, split_of(Path(name)), not drawn))
    request.found_images.check(notes)
    return Annotated(tuple(names.names), tuple(pictures), notes)


def _image_of(request: Request, path: Path, content: Any) -> tuple[Any, str]:
    """The image's file, or what gives its content where only that is there; and its name."""
    image_path = required(content, "imagePath", str, str(path))
    if not content.get("imageData"):
        file = request.found_images.find(image_path, str(path), path.parent)
        return file, "" if file is None else request.found_images.name_of(file)
    if (file := request.found_images.known(image_path, path.parent)) is not None:
        return file, request.found_images.name_of(file)
    name = path.absolute().relative_to(request.folder.absolute())
    return (lambda: embedded_image(path)), name.with_suffix(".png").as_posix()


def embedded_image(path: Path) -> bytes:
    """The content of the image in a file of labelme's, read when it is needed: all of them would fill the memory.

    Raises:
        ValueError: It is damaged.
    """
    try:
        return base64.b64decode(read_json(path)["imageData"], validate=False)
    except (binascii.Error, ValueError, TypeError) as error:
        raise ValueError(f"{path}: its imageData is damaged ({error}); export it again") from error


class _Painter:
    def __init__(self, drawn: list[tuple[str, Any, str]], notes: Notes):
        self.drawn, self.notes = drawn, notes

    def __call__(self, canvas: Canvas) -> None:
        for name, shape, where in self.drawn:
            kind = shape.get("shape_type") or "polygon"
            points = points_of(required(shape, "points", list, where), where)
            if kind in NO_AREA:
                self.notes.add("points and lines, left out", where)
            elif kind == "polygon" and len(points) < 3:
                self.notes.add("polygons of fewer than 3 points, left out", where)
            else:
                canvas.paint(name, shape_mask(kind, points, shape, canvas.size, where))


def shape_mask(kind: str, points: list[shapes.Point], shape: Any, size: shapes.Size, where: str) -> shapes.Mask:
    """The pixels of a shape.

    Raises:
        ValueError: It is damaged, or of another kind.
    """
    if kind in ("rectangle", "circle", "mask") and len(points) != 2:
        raise ValueError(f"{where}: a {kind} has 2 points, not {len(points)}; correct it")
    try:
        if kind == "polygon":
            return shapes.outlined_polygon(points, size)
        if kind == "rectangle":
            return shapes.outlined_box(points[0], points[1], size)
        if kind == "circle":
            return shapes.outlined_circle(points[0], points[1], size)
        if kind == "mask":
            (left, top), _ = points
            return shapes.pasted(_bitmap(required(shape, "mask", str, where)), left, top, size)
    except (ValueError, binascii.Error, OSError) as error:
        raise located(error, where, "correct the shape") from error
    raise ValueError(f"{where}: {quoted(kind)} is no shape_type of labelme with an area; known: polygon, rectangle, "
                     f"circle, mask, and without an area {one_line(', '.join(NO_AREA))}")  # fmt: skip


def _bitmap(text: str) -> shapes.Mask:
    """A PNG in base64, within the limits of Pillow."""
    with Image.open(io.BytesIO(base64.b64decode(text)), formats=["PNG"]) as picture:
        return np.asarray(picture.convert("L")) != 0
