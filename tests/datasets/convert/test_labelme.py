"""labelme's JSON."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import array, convert, masks_in, png_base64, save_image, save_json
from PIL import Image, ImageDraw


def shape(label: str, kind: str, points: list[Any], **more: Any) -> dict[str, Any]:
    return {"label": label, "points": points, "group_id": None, "shape_type": kind, "flags": {}} | more


def source(folder: Path, *shapes: dict[str, Any], **more: Any) -> Path:
    for name, drawn in (("a", list(shapes)), ("b", [])):
        save_image(folder / f"{name}.jpg")
        content = {
            "version": "5.5.0",
            "flags": {},
            "shapes": drawn,
            "imagePath": f"{name}.jpg",
            "imageData": None,
            "imageHeight": 6,
            "imageWidth": 8,
        }
        save_json(folder / f"{name}.json", content | more)
    return folder


def test_shapes_are_those_of_labelme(tmp_path: Path) -> None:
    polygon = [[0.4, 0.2], [6.8, 1.0], [3.0, 4.9]]
    path = source(
        tmp_path / "in",
        shape("cat", "polygon", polygon),
        shape("dog", "rectangle", [[7, 5], [5, 4]]),
        shape("bird", "circle", [[2, 4], [2, 5]]),
        shape("cat", "mask", [[6, 0], [7, 1]], mask=png_base64(np.array([[1, 0], [1, 1]], np.uint8))),
        shape("tail", "line", [[0, 0], [1, 1]]),
    )
    done = convert(path, root=tmp_path / "root")
    assert (done.format, done.classes) == ("labelme", ("background", "cat", "dog", "bird", "tail"))
    # As labelme's shape_to_mask draws them, one after the other.
    picture = Image.new("L", (8, 6))
    draw = ImageDraw.Draw(picture)
    draw.polygon([(x, y) for x, y in polygon], outline=1, fill=1)
    draw.rectangle([5, 4, 7, 5], outline=2, fill=2)
    draw.ellipse([1, 3, 3, 5], outline=3, fill=3)
    expected = np.array(picture)
    expected[0:2, 6:8][np.array([[1, 0], [1, 1]], bool)] = 1
    assert np.array_equal(masks_in(tmp_path / "root")["a"], expected)
    assert not masks_in(tmp_path / "root")["b"].any()
    assert any(note.startswith("points and lines, left out: 1") for note in done.notes)


def test_an_embedded_image_is_used_where_there_is_no_file(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 255, (6, 8, 3)).astype(np.uint8)
    path = source(tmp_path / "in", shape("cat", "rectangle", [[0, 0], [1, 1]]), imageData=png_base64(colours))
    kept = (path / "a.jpg").read_bytes()
    (path / "b.jpg").unlink()
    convert(path, root=tmp_path / "root")
    assert (tmp_path / "root" / "images" / "a.jpg").read_bytes() == kept
    assert np.array_equal(np.array(Image.open(tmp_path / "root" / "images" / "b.png")), colours)


def test_a_damaged_embedded_image_is_named(tmp_path: Path) -> None:
    path = source(tmp_path / "in", shape("cat", "rectangle", [[0, 0], [1, 1]]), imageData="bm8gaW1hZ2U=")
    (path / "b.jpg").unlink()
    with pytest.raises(ValueError, match=r"b\.json: not a readable image"):
        convert(path, root=tmp_path / "root")
    assert not (tmp_path / "root").exists()


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (shape("cat", "circle", [[1, 1]]), "a.json: shape 0: a circle has 2 points, not 1"),
        (shape("cat", "polygon", [[1, 1], [2, 2], [3]]), "shape 0: pairs of x and y are needed"),
        (shape("cat", "polygon", [[1, 1], [2, 2], [3, 1e300]]), "shape 0: it has a coordinate"),
        (shape("cat", "mask", [[1, 1], [2, 2]], mask="AAAA"), "shape 0: .*; correct the shape"),
        (shape("cat", "mask", [[1, 1], [2, 2]]), "'mask' must be a text, but there is none"),
        (shape("cat", "cube", [[1, 1], [2, 2]]), "'cube' is no shape_type of labelme with an area"),
        (shape("", "polygon", [[1, 1], [2, 2], [3, 3]]), "class name '' is empty"),
        ({"label": "cat"}, "shape 0: 'points' must be a list, but there is none"),
    ],
)
def test_damaged_shapes_are_named(tmp_path: Path, damaged: dict[str, Any], message: str) -> None:
    path = source(tmp_path / "in", damaged, shape("dog", "rectangle", [[0, 0], [1, 1]]))
    with pytest.raises(ValueError, match=message):
        convert(path, root=tmp_path / "root")


def test_labelmes_own_words_for_background_and_ignored(tmp_path: Path) -> None:
    path = source(
        tmp_path / "in",
        shape("cat", "rectangle", [[0, 0], [7, 5]]),
        shape("__ignore__", "rectangle", [[0, 0], [1, 5]]),
        shape("_background_", "rectangle", [[0, 0], [0, 5]]),
    )
    done = convert(path, root=tmp_path / "root")
    assert done.classes == ("background", "cat")
    assert np.array_equal(masks_in(tmp_path / "root")["a"], array("0x111111 " * 6))


def test_odd_polygons_other_json_and_missing_images(tmp_path: Path) -> None:
    path = source(tmp_path / "in", shape("cat", "polygon", [[1, 1], [2, 2]]), shape("cat", "polygon", [[50, 50]] * 3))
    save_json(path / "settings.json", {"theme": "dark"})
    done = convert(path, root=tmp_path / "root")
    assert any(note.startswith("JSON files that are not labelme's, left out: 1") for note in done.notes)
    assert any(note.startswith("polygons of fewer than 3 points, left out: 1") for note in done.notes)
    assert any(note.startswith("shapes that cover no pixel, left out: 1") for note in done.notes)
    (path / "a.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"a\.json: the image a\.jpg is missing"):
        convert(path, root=tmp_path / "root")
