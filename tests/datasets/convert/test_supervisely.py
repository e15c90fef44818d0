"""Supervisely's projects."""

import base64
import io
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import array, convert, lines, masks_in, save_image, save_json
from PIL import Image


def bitmap(values: np.ndarray, kind: str = "palette") -> str:
    """A bitmap as Supervisely's library writes it: zlib around a PNG, in base64."""
    picture = Image.fromarray(values.astype(np.uint8))
    options = {}
    if kind == "palette":
        picture.putpalette([0, 0, 0, 255, 255, 255])
        options = {"transparency": 0}
    elif kind == "rgba":
        picture = Image.fromarray(np.dstack([np.zeros((*values.shape, 3), np.uint8), values.astype(np.uint8) * 255]))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", **options)
    return base64.b64encode(zlib.compress(buffer.getvalue())).decode()


def thing(title: str, kind: str | None, **more: Any) -> dict[str, Any]:
    return {"id": 1, "classTitle": title, "tags": []} | ({"geometryType": kind} if kind else {}) | more


def polygon(title: str, exterior: list[Any], *interior: list[Any]) -> dict[str, Any]:
    return thing(title, "polygon", points={"exterior": exterior, "interior": list(interior)})


def source(folder: Path, *objects: dict[str, Any], tags: tuple[str, ...] = ("", "")) -> Path:
    classes = [{"title": "car", "shape": "polygon", "color": "#0"}, {"title": "cat", "shape": "bitmap", "color": "#1"},
               {"title": "Нос", "shape": "any", "color": "#2"}]  # fmt: skip
    save_json(folder / "meta.json", {"classes": classes, "tags": []})
    for i, tag in enumerate(tags):
        save_image(folder / "ds 1" / "img" / f"{i}.jpg")
        content = {"description": "", "tags": [{"name": tag}] if tag else [], "size": {"height": 6, "width": 8}}
        content["objects"] = list(objects) if i == 0 else []
        save_json(folder / "ds 1" / "ann" / f"{i}.jpg.json", content)
    return folder


def test_objects_are_painted_in_their_order(tmp_path: Path) -> None:
    path = source(
        tmp_path / "in",
        polygon("car", [[0, 0], [6, 0], [6, 5], [0, 5]], [[2, 2], [4, 2], [4, 3], [2, 3]]),
        thing("Нос", "rectangle", points={"exterior": [[7, 5], [6, 4]], "interior": []}),
        thing("cat", "bitmap", bitmap={"data": bitmap(np.array([[1, 0, 1], [0, 1, 1]])), "origin": [6, 0]}),
        thing("cat", "point", points={"exterior": [[1, 1]], "interior": []}),
    )
    done = convert(path, root=tmp_path / "root")
    assert (done.format, done.classes) == ("supervisely", ("background", "car", "cat", "Нос"))
    expected = array("11111120 11111112 11000110 11000110 11111133 11111133")
    assert np.array_equal(masks_in(tmp_path / "root")["0"], expected)
    assert any(note.startswith("objects without an area, left out: 1") for note in done.notes)


@pytest.mark.parametrize("kind", ["palette", "grey", "rgba"])
def test_bitmaps_of_every_mode(tmp_path: Path, kind: str) -> None:
    values = np.array([[1, 0, 1], [0, 1, 1]])
    path = source(tmp_path / "in", thing("cat", None, bitmap={"data": bitmap(values, kind), "origin": [1, 1]}))
    convert(path, root=tmp_path / "root")
    assert np.array_equal(masks_in(tmp_path / "root")["0"][1:3, 1:4], 2 * values)


def test_tags_and_data_sets_are_splits(tmp_path: Path) -> None:
    done = convert(source(tmp_path / "in", polygon("car", [[0, 0], [1, 0], [1, 1]]), tags=("val", "train")),
                   root=tmp_path / "root")  # fmt: skip
    assert done.divided == "as in the source"
    assert lines(tmp_path / "root" / "val.txt") == ["0"]
    other = source(tmp_path / "two", polygon("car", [[0, 0], [1, 0], [1, 1]]))
    (other / "ds 1").rename(other / "train")
    save_image(other / "val" / "img" / "0.jpg")
    save_json(other / "val" / "ann" / "0.jpg.json", {"size": {"height": 6, "width": 8}, "objects": []})
    convert(other, root=tmp_path / "root2")
    assert lines(tmp_path / "root2" / "val.txt") == ["val__0"]
    assert lines(tmp_path / "root2" / "train.txt") == ["train__0", "1"]


@pytest.mark.parametrize(
    ("damaged", "message"),
    [
        (polygon("dog", [[0, 0], [1, 0], [1, 1]]), r"object 0: the class dog is not in .*meta\.json"),
        (polygon("car", [[0, 0], [1, 0], [1]]), "object 0: .*pairs of x and y are needed"),
        (thing("car", "polygon"), "'points' must be an object, but there is none"),
        (thing("car", "rectangle", points={"exterior": [[1, 1]]}), "a rectangle has 2 points, not 1"),
        (thing("cat", "bitmap", bitmap={"data": "AAAA", "origin": [0, 0]}), "object 0: .*; export the project again"),
        (thing("cat", "bitmap", bitmap={"data": bitmap(np.ones((2, 2)))}), "pairs of x and y are needed"),
        (
            thing("cat", "bitmap", bitmap={"data": bitmap(np.ones((2, 2))), "origin": [0, float("inf")]}),
            "object 0: it has a",
        ),
        (
            polygon("car", [[0, 0], [1, 0], [1, 1]]) | {"points": {"exterior": [[0, 0]] * 3, "interior": 3}},
            "'interior' must",
        ),
    ],
)
def test_damaged_objects_are_named(tmp_path: Path, damaged: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(source(tmp_path / "in", damaged), root=tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_bitmap_that_would_fill_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from plopkit.datasets.convert import supervisely

    monkeypatch.setattr(supervisely, "LARGEST_BITMAP", 1000)
    data = base64.b64encode(zlib.compress(bytes(100_000))).decode()
    with pytest.raises(ValueError, match="object 0: its bitmap has more than 1,000 bytes"):
        convert(source(tmp_path / "in", thing("cat", "bitmap", bitmap={"data": data, "origin": [0, 0]})),
                root=tmp_path / "root")  # fmt: skip


def test_bitmaps_beyond_the_edge_and_polygons_of_two_points(tmp_path: Path) -> None:
    path = source(
        tmp_path / "in",
        thing("cat", "bitmap", bitmap={"data": bitmap(np.ones((3, 3)), "grey"), "origin": [-1, 4]}),
        polygon("car", [[0, 0], [1, 1]]),
    )
    convert(path, root=tmp_path / "root")
    assert np.array_equal(masks_in(tmp_path / "root")["0"], array("00000000 " * 4 + "22000000 22000000"))
