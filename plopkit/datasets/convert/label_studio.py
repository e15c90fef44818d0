"""Label Studio's JSON export: brush masks, polygons, rectangles and ellipses, in percent of the picture.

Format: https://labelstud.io/guide/export and the tags BrushLabels, PolygonLabels, RectangleLabels and EllipseLabels.
Regions are painted in their order. A task without annotation has not been labelled and is left out; an annotation
without regions is all background.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from plopkit.datasets.convert import shapes
from plopkit.datasets.convert.annotated import Annotated, Canvas, ClassNames, Notes, Picture
from plopkit.datasets.convert.images import is_image
from plopkit.datasets.convert.reading import entry_of, frame_of, located, number, points_of, required
from plopkit.datasets.convert.request import Request
from plopkit.datasets.convert.rle import label_studio_values
from plopkit.support.printable import one_line, quoted


class Region(NamedTuple):
    """An area with a class."""

    name: str
    value: Mapping[str, Any]
    where: str


def read(request: Request, files: Mapping[Path, Any]) -> Annotated:
    """Read one or several exports.

    Args:
        request: What was asked for.
        files: The content of each file.

    Raises:
        ValueError: A task or a region is damaged. The message names it.
        FileNotFoundError: An image is missing.
    """
    names, notes = ClassNames(), Notes()
    pictures = []
    for path, tasks in files.items():
        for index, task in enumerate(tasks):
            where = f"{path}: task {one_line(entry_of(task, f'{path}: task {index}').get('id', index))}"
            annotation = chosen_annotation(task, where, notes)
            if annotation is None:
                notes.add("tasks without an annotation, left out", where)
                continue
            results = required(annotation, "result", list, where)
            regions = regions_of(results, names, where, notes)
            address = image_address(task, where)
            name, *otherwise = file_names(address)
            file = request.found_images.find(name, where, path.parent, otherwise=otherwise)
            if file is not None:
                frame = _frame(results, where)
                painter = _Painter(regions)
                shown = request.found_images.name_of(file)
                pictures.append(Picture(shown, file, where, painter, frame, is_empty=not regions))
    request.found_images.check(notes)
    return Annotated(tuple(names.names), tuple(pictures), notes)


def chosen_annotation(task: Any, where: str, notes: Notes) -> Any:
    """The annotation that counts: of several, the one that was changed last. None where there is none."""
    listed = task.get("annotations", task.get("completions", []))
    if not isinstance(listed, list):
        raise ValueError(f"{where}: 'annotations' must be a list, not {quoted(listed)}; export it again")
    done = [entry_of(item, where) for item in listed]
    done = [item for item in done if not item.get("was_cancelled")]
    if len(done) > 1:
        notes.add("tasks with several annotations, of which the one changed last counts", where)
    return max(done, key=lambda item: str(item.get("updated_at", item.get("created_at", ""))), default=None)


def image_address(task: Any, where: str) -> str:
    """What a task's data say about its image: a path or an address.

    Raises:
        ValueError: There is none, or several.
    """
    data = required(task, "data", dict, where)
    found = {key: value for key, value in data.items() if isinstance(value, str) and is_image(file_names(value)[0])}
    if len(found) > 1 and "image" in found:
        return found["image"]
    if len(found) != 1:
        what = f"several images ({', '.join(map(one_line, found))})" if found else "no image"
        raise ValueError(f"{where}: its data name {what}; export tasks of one image each, in a field 'image'")
    return next(iter(found.values()))


def file_names(address: str) -> list[str]:
    """The paths that an address may stand for; the last one without the prefix that uploads get.

    Example:
        >>> file_names("/data/upload/1/0a1b2c3d-my%20cat.jpg")
        ['/data/upload/1/0a1b2c3d-my cat.jpg', 'my cat.jpg']
    """
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")  # of local storage: /data/local-files/?d=folder/name.jpg
    path = local[0] if local else unquote(parts.path)
    short = re.sub(r"^[0-9a-f]{8}-", "", path.rpartition("/")[2])
    return [path, short] if not path.endswith(f"/{short}") and path != short else [path]


def regions_of(results: Sequence[Any], names: ClassNames, where: str, notes: Notes) -> list[Region]:
    """The areas of an annotation; a region may be described by several results with its id."""
    merged: dict[str, dict[str, Any]] = {}
    for index, result in enumerate(results):
        entry = entry_of(result, where)
        if entry.get("image_rotation"):
            raise ValueError(
                f"{where}: its picture was turned by {entry['image_rotation']} degrees in Label Studio; turn it back "
                "there and correct its regions, or remove the task from the export"
            )
        value = entry.get("value")
        if isinstance(value, Mapping):
            region = merged.setdefault(str(entry.get("id", index)), {})
            for key, item in value.items():
                region.setdefault(key, item)
    regions = []
    for key, value in merged.items():
        place = f"{where}: region {one_line(key)}"
        if not _is_area(value):
            notes.add("results that are no areas, left out", place)
            continue
        words = [
            word for key, item in value.items() if key.endswith("labels") and isinstance(item, list) for word in item
        ]
        if not words:
            notes.add("regions without a label, left out", place)
            continue
        if len(words) > 1:
            notes.add("regions with several labels, of which the first counts", place)
        regions.append(Region(names.add(words[0], place), value, place))
    return regions


def _is_area(value: Mapping[str, Any]) -> bool:
    keys = value.keys()
    return "rle" in keys or "points" in keys or "radiusX" in keys or keys >= {"x", "y", "width", "height"}


def region_mask(region: Region, size: shapes.Size) -> shapes.Mask | None:
    """The pixels of a region; None for a polygon of fewer than 3 points.

    Raises:
        ValueError: It is damaged.
    """
    value, where = region.value, region.where
    if "rle" in value:
        return _brush(value, size, where)
    across, down = size[1] / 100, size[0] / 100
    turned = number(value, "rotation", where) if value.get("rotation") else 0.0
    try:
        if "points" in value:
            points = [(x * across, y * down) for x, y in points_of(value["points"], where)]
            return shapes.polygon(points, size) if len(points) > 2 else None
        x, y = number(value, "x", where) * across, number(value, "y", where) * down
        if "radiusX" in value:
            radii = number(value, "radiusX", where) * across, number(value, "radiusY", where) * down
            return shapes.ellipse((x, y), radii, size, turned)
        width, height = number(value, "width", where) * across, number(value, "height", where) * down
        return shapes.polygon(shapes.box(x, y, width, height, turned, pivot=(x, y)), size)
    except ValueError as error:
        raise located(error, where, "correct the region") from error


def _brush(value: Mapping[str, Any], size: shapes.Size, where: str) -> shapes.Mask:
    n_values = 4 * size[0] * size[1]
    try:
        values = label_studio_values(bytes(required(value, "rle", list, where)), n_values)
    except (ValueError, TypeError) as error:
        raise located(error, where, "export it again") from error
    if len(values) != n_values:
        raise ValueError(
            f"{where}: its mask has {len(values) // 4:,} pixels, but the picture {size[1]} x {size[0]}; was the image "
            "file changed after it was labelled?"
        )
    return values.reshape(*size, 4)[..., 3] > 0


def _frame(results: Sequence[Any], where: str) -> shapes.Size | None:
    frames = (frame_of(result, "original_height", "original_width", where) for result in results)
    return next(filter(None, frames), None)


class _Painter:
    def __init__(self, regions: Sequence[Region]):
        self.regions = regions

    def __call__(self, canvas: Canvas) -> None:
        for region in self.regions:
            mask = region_mask(region, canvas.size)
            if mask is None:
                canvas.notes.add("polygons of fewer than 3 points, left out", region.where)
            else:
                canvas.paint(region.name, mask)
