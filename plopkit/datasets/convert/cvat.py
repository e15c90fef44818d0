"""CVAT's exports "CVAT for images 1.1" (XML) and "Segmentation mask 1.1" (coloured masks with labelmap.txt).

Formats: https://docs.cvat.ai/docs/other/xml_format and https://docs.cvat.ai/docs/manual/advanced/formats/. Shapes are
painted by `z_order`, then in their order, and filled as CVAT's own masks are, by COCO's rule. CVAT turns pictures by
their EXIF flag, and so do the shapes.
"""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from plopkit.datasets.convert import shapes
from plopkit.datasets.convert.annotated import Annotated, Canvas, ClassNames, Notes, Picture
from plopkit.datasets.convert.colours import colour_table
from plopkit.datasets.convert.folders import annotated, colour_fill
from plopkit.datasets.convert.reading import located
from plopkit.datasets.convert.request import Request
from plopkit.datasets.convert.rle import runs
from plopkit.datasets.convert.splits import known_split
from plopkit.datasets.lists import read_lines
from plopkit.support.places import read_limited
from plopkit.support.printable import one_line, quoted

LARGEST_XML = 2**29
AREAS = ("polygon", "box", "ellipse", "mask")
NO_AREA = ("polyline", "points", "cuboid", "skeleton")


def read(request: Request, files: Sequence[Path]) -> Annotated:
    """Read XML files.

    Raises:
        ValueError: A shape is damaged. The message names it.
        FileNotFoundError: An image is missing.
    """
    names, notes = ClassNames(), Notes()
    pictures = []
    for path in files:
        root = parsed(path)
        for label in root.iterfind("./meta//labels/label"):
            if label.find("parent") is None:  # the parts of a skeleton have parents
                names.add(label.findtext("name"), f"{path}: labels")
        if root.find("track") is not None:
            raise ValueError(f"{path}: it is 'CVAT for video'; export 'CVAT for images 1.1' instead")
        for image in root.iterfind("image"):
            name = image.get("name", "")
            where = f"{path}: image {one_line(name)}"
            drawn = drawn_shapes(image, names, where, notes)
            split = known_split(image.get("subset", ""))
            file = request.found_images.find(name, where, path.parent, split)
            if file is not None:
                frame = _whole(image, "height", where), _whole(image, "width", where)
                shown = request.found_images.name_of(file)
                pictures.append(Picture(shown, file, where, _Painter(drawn, where), frame, split, not drawn))
    request.found_images.check(notes)
    return Annotated(tuple(names.names), tuple(pictures), notes)


def read_masks(request: Request) -> Annotated:
    """Read "Segmentation mask 1.1": JPEGImages/, SegmentationClass/, labelmap.txt, and lists in ImageSets/.

    Raises:
        FileNotFoundError: A folder, or the mask of an image, is missing.
        ValueError: labelmap.txt is damaged.
    """
    names, notes = ClassNames(), Notes()
    table = colour_table(request.classes or request.folder / "labelmap.txt", names)
    splits: dict[str, str] = {}
    for path in sorted((request.folder / "ImageSets" / "Segmentation").glob("*.txt")):
        if split := known_split(path.stem):
            splits |= dict.fromkeys(read_lines(path), split)
    fill = colour_fill(table, request)
    return annotated(request, fill, names, notes, splits=lambda path: splits.get(path.with_suffix("").as_posix()))


def parsed(path: Path) -> Element:
    """The root of an XML file.

    Raises:
        ValueError: It is damaged, or declares entities, which can fill the memory.
    """
    content = read_limited(path, LARGEST_XML, "an XML file of annotations")
    try:
        text = content.decode("utf-8-sig")
        if "<!DOCTYPE" in text or "<!ENTITY" in text:
            raise ValueError(f"{path}: it declares a DOCTYPE or entities, which CVAT does not; export it again")
        return ElementTree.fromstring(text)
    except (UnicodeDecodeError, ElementTree.ParseError) as error:
        raise ValueError(f"{path}: not the XML of CVAT ({error}); export it again") from error


def drawn_shapes(image: Element, names: ClassNames, where: str, notes: Notes) -> list[tuple[str, Element]]:
    """The areas of an image with their classes, from the lowest to the highest."""
    drawn = []
    for shape in image:
        if shape.tag in NO_AREA:
            notes.add("points, lines and cuboids, left out", where)
        elif shape.tag in AREAS:
            drawn.append((names.add(shape.get("label"), f"{where}: {shape.tag}"), shape))
    return sorted(drawn, key=lambda item: _number(item[1], "z_order", where) if item[1].get("z_order") else 0.0)


def shape_mask(shape: Element, size: shapes.Size, where: str) -> shapes.Mask | None:
    """The pixels of a shape; None for a polygon of fewer than 3 points.

    Raises:
        ValueError: It is damaged.
    """

    def value(key: str) -> float:
        return _number(shape, key, where)

    turned = value("rotation") if shape.get("rotation") else 0.0
    try:
        if shape.tag == "polygon":
            points = _points(shape.get("points", ""))
            return shapes.polygon(points, size) if len(points) > 2 else None
        if shape.tag == "box":
            x, y = value("xtl"), value("ytl")
            return shapes.polygon(shapes.box(x, y, value("xbr") - x, value("ybr") - y, turned), size)
        if shape.tag == "ellipse":
            return shapes.ellipse((value("cx"), value("cy")), (value("rx"), value("ry")), size, turned)
        height, width = _whole(shape, "height", where), _whole(shape, "width", where)
        if height * width > size[0] * size[1] + 2 * sum(size) + 4:
            raise ValueError(f"its mask of {width} x {height} is larger than the picture")
        bitmap = runs([int(count) for count in shape.get("rle", "").split(",")], height * width)
        return shapes.pasted(bitmap.reshape(height, width), value("left"), value("top"), size)
    except (ValueError, OverflowError) as error:
        raise located(error, where, f"correct the {shape.tag} of {quoted(shape.get('label'))}") from error


def _points(text: str) -> list[shapes.Point]:
    pairs = [pair.split(",") for pair in text.split(";") if pair.strip()]
    return [(float(x), float(y)) for x, y in pairs]


def _number(element: Element, key: str, where: str) -> float:
    try:
        return float(element.get(key, ""))
    except ValueError:
        raise ValueError(
            f"{where}: {key!r} of <{element.tag}> must be a number, not {quoted(element.get(key))}; export it again"
        ) from None


def _whole(element: Element, key: str, where: str) -> int:
    value = _number(element, key, where)
    if not 1 <= value < 2**31:
        raise ValueError(f"{where}: {key!r} of <{element.tag}> is {value:g}, which is no size; export it again")
    return int(value)


class _Painter:
    def __init__(self, drawn: Sequence[tuple[str, Element]], where: str):
        self.drawn, self.where = drawn, where

    def __call__(self, canvas: Canvas) -> None:
        for name, shape in self.drawn:
            mask = shape_mask(shape, canvas.size, self.where)
            if mask is None:
                canvas.notes.add("polygons of fewer than 3 points, left out", self.where)
            else:
                canvas.paint(name, mask)
