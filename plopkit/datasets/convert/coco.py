"""COCO's JSON of instances: polygons and run-length codes.

Format: https://cocodataset.org/#format-data. The shapes of a picture are painted by their number of pixels, large ones
first, so that small objects lie on large ones. Crowds (`iscrowd`) are ignored pixels.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from plopkit.datasets.convert import shapes
from plopkit.datasets.convert.annotated import Annotated, Canvas, ClassNames, Notes, Picture
from plopkit.datasets.convert.reading import frame_of, required
from plopkit.datasets.convert.request import Request
from plopkit.datasets.convert.rle import coco_mask
from plopkit.datasets.convert.shapes import Mask, Size
from plopkit.support.printable import one_line, quoted

Id = int | str


def read(request: Request, files: Mapping[Path, Any]) -> Annotated:
    """Read one or several files, such as those of training and validation.

    Args:
        request: What was asked for.
        files: The content of each file.

    Raises:
        ValueError: An entry is damaged, or two contradict each other. The message names it.
        FileNotFoundError: An image is missing.
    """
    names, notes = ClassNames(), Notes()
    pictures: list[Picture] = []
    for path, content in files.items():
        categories = categories_of(path, content, names)
        by_image: dict[Id, list[Any]] = defaultdict(list)
        images = images_of(path, content)
        for number, annotation in enumerate(required(content, "annotations", list, str(path))):
            where = _where(path, annotation, number)
            image_id = required(annotation, "image_id", (int, str), where)
            if image_id not in images:
                raise ValueError(f"{where}: there is no image with id {quoted(image_id)}; correct the entry")
            category_of(annotation, categories, where)
            by_image[image_id].append(annotation)
        for image_id, image in images.items():
            where = f"{path}: image {one_line(image_id)}"
            file = find_image(request, path, image, where)
            if file is not None:
                painter = _Painter(where, by_image.get(image_id, []), categories, notes)
                frame = frame_of(image, "height", "width", where)
                name = request.found_images.name_of(file)
                empty = image_id not in by_image
                pictures.append(Picture(name, file, where, painter, frame, request.split_of(path), empty))
    request.found_images.check(notes)
    return Annotated(tuple(names.names), tuple(pictures), notes)


def categories_of(path: Path, content: Any, names: ClassNames) -> dict[Id, str]:
    """The class name of each category id; the names are added in the file's order.

    Raises:
        ValueError: There are none, or an id is repeated.
    """
    categories: dict[Id, str] = {}
    for number, entry in enumerate(required(content, "categories", list, str(path))):
        where = f"{path}: category {number}"
        key = required(entry, "id", (int, str), where)
        if key in categories:
            raise ValueError(f"{where}: the id {quoted(key)} is that of {one_line(categories[key])}, too; correct one")
        categories[key] = names.add(required(entry, "name", str, where), where)
    return categories


def images_of(path: Path, content: Any) -> dict[Id, Any]:
    """The images by id.

    Raises:
        ValueError: There are none, or an id is repeated.
    """
    images: dict[Id, Any] = {}
    for number, image in enumerate(required(content, "images", list, str(path))):
        where = f"{path}: image {number}"
        key = required(image, "id", (int, str), where)
        required(image, "file_name", str, where)
        if key in images:
            raise ValueError(f"{where}: the id {quoted(key)} is that of another image, too; correct one")
        images[key] = image
    if not images:
        raise ValueError(f"{path}: it lists no images")
    return images


def find_image(request: Request, path: Path, image: Any, where: str) -> Path | None:
    """The file of an image; None where it is missing."""
    return request.found_images.find(image["file_name"], where, path.parent, request.split_of(path))


def category_of(entry: Any, categories: Mapping[Id, str], where: str) -> str:
    """The class name of an annotation.

    Raises:
        ValueError: Its category is not listed.
    """
    key = required(entry, "category_id", (int, str), where)
    if key not in categories:
        known = ", ".join(f"{one_line(key)} ({one_line(name)})" for key, name in list(categories.items())[:20])
        raise ValueError(f"{where}: there is no category {quoted(key)}; known: {known}; correct the entry")
    return categories[key]


def annotation_mask(annotation: Any, size: Size, where: str, notes: Notes) -> Mask:
    """The pixels of an annotation: the union of its polygons, its decoded mask, or its box.

    Raises:
        ValueError: It is damaged.
    """
    segmentation = annotation.get("segmentation")
    if isinstance(segmentation, Mapping):
        return _decoded(segmentation, size, where)
    if not segmentation:
        if not annotation.get("bbox"):
            raise ValueError(f"{where}: it has neither a segmentation nor a bbox; remove the entry")
        notes.add("annotations with a box and no outline, filled", where)
        return _filled([_box(annotation["bbox"], where)], size, where, notes)
    if not isinstance(segmentation, list):
        raise ValueError(f"{where}: its segmentation is {quoted(segmentation)}; polygons or an RLE are needed")
    parts = [segmentation] if isinstance(segmentation[0], int | float) else segmentation
    return _filled([_pairs(part, where) for part in parts], size, where, notes)


class _Painter:
    """Paints the annotations of an image."""

    def __init__(self, where: str, annotations: Sequence[Any], categories: Mapping[Id, str], notes: Notes):
        self.where, self.annotations, self.categories, self.notes = where, annotations, categories, notes

    def __call__(self, canvas: Canvas) -> None:
        found = []
        for number, annotation in enumerate(self.annotations):
            where = f"{self.where}: annotation {one_line(annotation.get('id', number))}"
            mask = annotation_mask(annotation, canvas.size, where, self.notes)
            # Packed, because all masks of a large picture are kept until they are sorted.
            found.append((int(mask.sum()), np.packbits(mask), annotation))
        for _, packed, annotation in sorted(found, key=lambda item: -item[0]):
            mask = np.unpackbits(packed, count=canvas.mask.size).reshape(canvas.size).astype(bool)
            if annotation.get("iscrowd"):
                self.notes.add("crowds (iscrowd), ignored pixels", self.where)
                canvas.ignore(mask)
            else:
                canvas.paint(self.categories[annotation["category_id"]], mask)


def _decoded(code: Mapping[str, Any], size: Size, where: str) -> Mask:
    own = code.get("size")
    if own != list(size):
        raise ValueError(
            f"{where}: its RLE is of {quoted(own)} (height, width), but the image of {list(size)}; correct the entry"
        )
    counts = required(code, "counts", (list, str), where)
    try:
        return coco_mask(counts, size)
    except (ValueError, TypeError, OverflowError) as error:
        raise ValueError(f"{where}: {error}; export it again") from error


def _filled(polygons: Sequence[Sequence[shapes.Point]], size: Size, where: str, notes: Notes) -> Mask:
    mask = np.zeros(size, bool)
    for points in polygons:
        if len(points) < 3:
            notes.add("polygons of fewer than 3 points, left out", where)
            continue
        try:
            mask |= shapes.polygon(points, size)
        except ValueError as error:
            raise ValueError(f"{where}: {error}; correct the polygon") from error
    return mask


def _pairs(part: Any, where: str) -> list[shapes.Point]:
    try:
        values = [float(value) for value in part]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: a polygon is a list of x, y, x, y, …, not {quoted(part)}; correct it") from error
    if len(values) % 2:
        raise ValueError(f"{where}: a polygon has {len(values)} coordinates, an odd number; correct it")
    return list(zip(values[::2], values[1::2], strict=True))


def _box(value: Any, where: str) -> list[shapes.Point]:
    try:
        x, y, width, height = map(float, value)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{where}: a bbox is x, y, width, height, not {quoted(value)}; correct it") from error
    return shapes.box(x, y, width, height)


def _where(path: Path, annotation: Any, number: int) -> str:
    key = annotation.get("id", number) if isinstance(annotation, Mapping) else number
    return f"{path}: annotation {one_line(key)}"
