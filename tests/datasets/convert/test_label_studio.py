"""Label Studio's JSON export."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import array, convert, masks_in, save_image, save_json

from plopkit.datasets.convert.label_studio import file_names


def region(kind: str, label: str, key: str = "", **value: Any) -> dict[str, Any]:
    return {
        "id": key or f"{kind}-{label}",
        "type": kind,
        "from_name": "label",
        "to_name": "image",
        "original_width": 8,
        "original_height": 6,
        "image_rotation": 0,
        "value": value | ({kind: [label]} if label else {}),
    }


def brush(mask: np.ndarray) -> list[int]:
    """A mask as Label Studio's brush writes it: RGBA, one literal block per 2 ** 16 values at most."""
    values = np.repeat(mask.ravel().astype(np.uint8) * 255, 4)
    bits = f"{len(values):032b}{7:05b}" + f"{0:04b}{0:04b}{0:04b}{15:04b}"
    bits += "0" + "11" + f"{len(values) - 1:016b}" + "".join(f"{value:08b}" for value in values)
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


def task(key: int, *results: dict[str, Any], image: str = "", **annotation: Any) -> dict[str, Any]:
    address = image or f"/data/upload/1/0123abcd-{key}.jpg"
    return {"id": key, "data": {"image": address}, "annotations": [{"id": 9, "result": list(results)} | annotation]}


def source(folder: Path, *tasks: dict[str, Any], images: tuple[str, ...] = ("1.jpg", "2.jpg")) -> Path:
    for name in images:
        save_image(folder / "images" / name)
    return save_json(folder / "project-1.json", list(tasks))


def test_regions_of_every_kind_in_their_order(tmp_path: Path) -> None:
    mask = array("00000000 00000000 00000000 00000000 00000000 01000100")
    path = source(
        tmp_path,
        task(
            1,
            region("rectanglelabels", "cat", x=12.5, y=100 / 6, width=37.5, height=100 / 3, rotation=0),
            region("polygonlabels", "dog", points=[[50, 0], [100, 0], [100, 50], [50, 50]], closed=True),
            region("brushlabels", "bird", format="rle", rle=brush(mask)),
        ),
        task(2, region("ellipselabels", "cat", x=50, y=50, radiusX=25, radiusY=100 / 6, rotation=0)),
    )
    done = convert(path, root=tmp_path / "root")
    assert (done.format, done.classes) == ("label-studio", ("background", "cat", "dog", "bird"))
    masks = masks_in(tmp_path / "root")
    assert np.array_equal(masks["1"], array("00002222 01112222 01112222 00000000 00000000 03000300"))
    assert np.array_equal(masks["2"], array("00000000 00000000 00111100 00111100 00000000 00000000"))


def test_a_rectangle_is_turned_around_its_upper_left_corner(tmp_path: Path) -> None:
    turned = region("rectanglelabels", "cat", x=50, y=100 / 6, width=25, height=50, rotation=90)
    path = source(tmp_path, task(1, turned), task(2, turned))
    convert(path, root=tmp_path / "root")
    expected = array("00000000 01110000 01110000 00000000 00000000 00000000")
    assert np.array_equal(masks_in(tmp_path / "root")["1"], expected)


def test_a_label_may_be_a_result_of_its_own(tmp_path: Path) -> None:
    shape = {"x": 0, "y": 0, "width": 50, "height": 100}
    results = [region("rectangle", "", "a", **shape), region("labels", "cat", "a", **shape),
               region("rectangle", "", "b", **shape)]  # fmt: skip
    done = convert(source(tmp_path, task(1, *results), task(2)), root=tmp_path / "root")
    assert (masks_in(tmp_path / "root")["1"] == array("11110000 " * 6)).all()
    assert any(note.startswith("regions without a label, left out: 1 (the first: ") for note in done.notes)
    assert any(note.startswith("pictures without annotations, all background: 1") for note in done.notes)


def test_which_annotation_counts(tmp_path: Path) -> None:
    whole = {"x": 0, "y": 0, "width": 100, "height": 100}
    several = task(1, region("rectanglelabels", "old", **whole), updated_at="2024-01-01T00:00:00Z")
    several["annotations"].append({"result": [region("rectanglelabels", "new", **whole)], "updated_at": "2024-02-01"})
    several["annotations"].append({"result": [], "updated_at": "2024-03-01", "was_cancelled": True})
    unlabelled = task(3)
    unlabelled["annotations"] = []
    path = source(tmp_path, several, task(2), unlabelled)  # there is no 3.jpg, which does not matter
    done = convert(path, root=tmp_path / "root")
    assert done.classes == ("background", "new")
    assert (masks_in(tmp_path / "root")["1"] == 1).all()
    assert any(note.startswith("tasks with several annotations") for note in done.notes)
    assert any(note.startswith("tasks without an annotation, left out: 1") for note in done.notes)


def test_results_that_are_no_areas(tmp_path: Path) -> None:
    results = [
        region("keypointlabels", "nose", x=50, y=50, width=0.5),
        region("choices", "", choices=["good"]),
        region("polygonlabels", "cat", points=[[0, 0], [50, 50]]),
    ]
    done = convert(source(tmp_path, task(1, *results), task(2)), root=tmp_path / "root")
    assert any(note.startswith("results that are no areas, left out: 2") for note in done.notes)
    assert any(note.startswith("polygons of fewer than 3 points, left out: 1") for note in done.notes)
    assert not masks_in(tmp_path / "root")["1"].any()


@pytest.mark.parametrize(
    ("address", "names"),
    [
        ("/data/upload/1/0a1b2c3d-my%20cat.jpg", ["/data/upload/1/0a1b2c3d-my cat.jpg", "my cat.jpg"]),
        ("/data/local-files/?d=photos/a%20b/1.jpg", ["photos/a b/1.jpg"]),
        ("s3://bucket/photos/1.jpg", ["/photos/1.jpg"]),
        ("https://example.org/x/1.jpg?token=abc", ["/x/1.jpg"]),
        ("1.jpg", ["1.jpg"]),
    ],
)
def test_addresses_of_images(address: str, names: list[str]) -> None:
    assert file_names(address) == names


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_rotation": 90}, "task 1: its picture was turned by 90 degrees in Label Studio"),
        ({"value": {"polygonlabels": ["a"], "points": [[1, 2], 3]}}, "task 1: region r: pairs of x and y are needed"),
        ({"value": {"polygonlabels": ["a"], "points": [[1, 2], [3, 4], [1e99, 0]]}}, "region r: it has a coordinate"),
        ({"value": {"brushlabels": ["a"], "rle": [0, 0, 0, 9]}}, "region r: its RLE ends too early"),
        ({"value": {"brushlabels": ["a"], "rle": [0, 0, 0, 300]}}, "region r: bytes must be in range"),
        (
            {"value": {"brushlabels": ["a"], "rle": brush(np.zeros((3, 3)))}},
            "its mask has 9 pixels, but the picture 8 x 6",
        ),
        ({"value": {"rectanglelabels": ["a"], "x": "1", "y": 0, "width": 5, "height": 5}}, "'x' must be a number"),
        ({"value": {"rectanglelabels": [""], "x": 1, "y": 0, "width": 5, "height": 5}}, "class name '' is empty"),
        ({"original_width": 80, "original_height": 60}, "is for 80 x 60 pixels, but the image has 8 x 6"),
    ],
)
def test_damaged_regions_are_named(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    damaged = region("polygonlabels", "cat", "r", points=[[0, 0], [50, 50], [0, 50]]) | change
    with pytest.raises(ValueError, match=message):
        convert(source(tmp_path, task(1, damaged), task(2)), root=tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_other_exports_are_refused_with_the_right_one(tmp_path: Path) -> None:
    path = save_json(tmp_path / "min.json", [{"id": 1, "image": "1.jpg", "label": [], "annotator": 1}])
    with pytest.raises(ValueError, match="JSON-MIN; export JSON instead"):
        convert(path, root=tmp_path / "root")
    save_image(tmp_path / "png" / "task-1-annotation-2-by-1-tag-cat-0.png")
    with pytest.raises(ValueError, match=r"brush masks as PNG do not say which picture.*export JSON"):
        convert(tmp_path / "png", root=tmp_path / "root")
    two = task(1)
    two["data"] = {"left": "1.jpg", "right": "2.jpg"}
    with pytest.raises(ValueError, match=r"task 1: its data name several images \(left, right\)"):
        convert(source(tmp_path, two), root=tmp_path / "root")


@pytest.mark.parametrize("second", [1, 2])
def test_an_image_that_is_annotated_twice(tmp_path: Path, second: int) -> None:
    whole = region("rectanglelabels", "cat", x=0, y=0, width=100, height=100)
    path = source(tmp_path, task(1, whole), task(second, whole, image="1.jpg"))
    with pytest.raises(ValueError, match=rf"task {second} and .*task 1 annotate the same image, .*1\.jpg; remove one"):
        convert(path, root=tmp_path / "root")
