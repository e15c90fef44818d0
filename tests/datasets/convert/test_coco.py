"""COCO's JSON of instances."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import array, convert, lines, masks_in, save_image, save_json
from pycocotools import mask as pycoco

from plopkit.datasets.convert.conversion import Division

# pycocotools decodes by an array interface that NumPy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation")

CATEGORIES = [{"id": 90, "name": "dog"}, {"id": 3, "name": "cat", "supercategory": "animal"}, {"id": 7, "name": "bird"}]


def box(x: float, y: float, width: float, height: float) -> list[float]:
    return [x, y, x + width, y, x + width, y + height, x, y + height]


def source(folder: Path, annotations: list[dict[str, Any]], n_images: int = 2, **more: Any) -> Path:
    """Images of 6 x 8 with annotations for them; the images are in `images/`."""
    images = [{"id": i, "file_name": f"{i}.jpg", "height": 6, "width": 8} for i in range(n_images)]
    for image in images:
        save_image(folder / "images" / image["file_name"])
    full = [{"id": i, "iscrowd": 0} | annotation for i, annotation in enumerate(annotations)]
    content = {"images": images, "annotations": full, "categories": CATEGORIES} | more
    return save_json(folder / "annotations" / "instances.json", content)


def mask_of(path: Path, tmp_path: Path, **choices: Any) -> np.ndarray:
    convert(path, root=tmp_path / "root", **choices)
    return masks_in(tmp_path / "root")["0"]


def test_categories_are_labels_in_their_order(tmp_path: Path) -> None:
    path = source(
        tmp_path,
        [
            {"image_id": 0, "category_id": 3, "segmentation": [box(1, 1, 3, 2)]},
            {"image_id": 0, "category_id": 90, "segmentation": [box(5, 3, 2, 3)]},
            {"image_id": 1, "category_id": 7, "segmentation": [box(0, 0, 8, 6)]},
        ],
    )
    done = convert(path, root=tmp_path / "root")
    assert done.classes == ("background", "dog", "cat", "bird")
    assert lines(tmp_path / "root" / "classes.txt") == ["background", "dog", "cat", "bird"]
    masks = masks_in(tmp_path / "root")
    assert np.array_equal(masks["0"], array("00000000 02220000 02220000 00000110 00000110 00000110"))
    assert (masks["1"] == 3).all()
    assert sorted(lines(tmp_path / "root" / "train.txt") + lines(tmp_path / "root" / "val.txt")) == ["0", "1"]
    assert (tmp_path / "root" / "images" / "0.jpg").read_bytes() == (tmp_path / "images" / "0.jpg").read_bytes()


def test_small_objects_lie_on_large_ones_in_any_order(tmp_path: Path) -> None:
    shapes = [
        {"image_id": 0, "category_id": 3, "segmentation": [box(2, 2, 2, 2)]},
        {"image_id": 0, "category_id": 90, "segmentation": [box(0, 0, 8, 6)]},
        {"image_id": 0, "category_id": 7, "segmentation": [box(1, 1, 5, 4)]},
    ]
    masks = [mask_of(source(tmp_path, order), tmp_path) for order in (shapes, shapes[::-1])]
    assert np.array_equal(masks[0], array("11111111 13333311 13223311 13223311 13333311 11111111"))
    assert np.array_equal(masks[1], masks[0])


def test_several_parts_are_united(tmp_path: Path) -> None:
    parts = [box(0, 0, 3, 3), box(2, 2, 3, 3)]
    mask = mask_of(source(tmp_path, [{"image_id": 0, "category_id": 90, "segmentation": parts}]), tmp_path)
    expected = pycoco.decode(pycoco.merge(pycoco.frPyObjects(parts, 6, 8)))
    assert np.array_equal(mask, expected)
    assert mask.sum() == 17


@pytest.mark.parametrize("compressed", [True, False])
def test_run_length_codes_and_crowds(tmp_path: Path, compressed: bool) -> None:
    area = np.zeros((6, 8), np.uint8, order="F")
    area[1:5, 2:7] = 1
    code = pycoco.encode(area)
    counts = [13, 4, 2, 4, 2, 4, 2, 4, 2, 4, 7]
    rle = {"size": [6, 8], "counts": code["counts"].decode() if compressed else counts}
    path = source(
        tmp_path,
        [
            {"image_id": 0, "category_id": 90, "segmentation": rle, "iscrowd": 1},
            {"image_id": 0, "category_id": 3, "segmentation": [box(3, 2, 1, 1)]},
            {"image_id": 1, "category_id": 3, "segmentation": rle},
        ],
    )
    done = convert(path, root=tmp_path / "root")
    masks = masks_in(tmp_path / "root")
    assert np.array_equal(masks["0"], array("00000000 00xxxxx0 00x2xxx0 00xxxxx0 00xxxxx0 00000000"))
    assert np.array_equal(masks["1"], 2 * area)
    assert any(note.startswith("crowds (iscrowd), ignored pixels: 1") for note in done.notes)


def test_files_of_training_and_validation(tmp_path: Path) -> None:
    one = source(tmp_path / "a", [{"image_id": 0, "category_id": 3, "segmentation": [box(0, 0, 2, 2)]}], n_images=3)
    content = json.loads(one.read_text())
    for image in content["images"]:
        image["file_name"] = "images/" + image["file_name"]
    train = save_json(tmp_path / "annotations" / "instances_train2017.json", content)
    content["images"] = [{"id": 0, "file_name": "new/0.jpg", "height": 6, "width": 8}]
    content["categories"] = [*CATEGORIES[1:], {"id": 1, "name": "tree"}]
    content["annotations"][0]["category_id"] = 1
    val = save_json(tmp_path / "annotations" / "instances_val2017.json", content)
    save_image(tmp_path / "a" / "new" / "0.jpg")
    done = convert(train, val, root=tmp_path / "root", images=tmp_path / "a")
    assert done.classes == ("background", "dog", "cat", "bird", "tree")
    assert (done.train, done.val, done.divided) == (3, 1, "as in the source")
    assert lines(tmp_path / "root" / "train.txt") == ["images__0", "1", "2"]
    assert lines(tmp_path / "root" / "val.txt") == ["new__0"]
    assert masks_in(tmp_path / "root")["new__0"].max() == 4


def test_a_folder_with_a_file_per_split(tmp_path: Path) -> None:
    """As Roboflow exports: train/_annotations.coco.json next to its images, of the same names."""
    for split, category in (("train", 3), ("valid", 7), ("test", 7)):
        save_image(tmp_path / "in" / split / "a.jpg")
        content = {
            "images": [{"id": 0, "file_name": "a.jpg", "height": 6, "width": 8}],
            "annotations": [{"id": 0, "image_id": 0, "category_id": category, "segmentation": [box(0, 0, 8, 6)]}],
            "categories": CATEGORIES,
        }
        save_json(tmp_path / "in" / split / "_annotations.coco.json", content)
    done = convert(tmp_path / "in", root=tmp_path / "root")
    assert (done.format, done.train, done.val) == ("coco", 1, 1)
    assert {stem: int(mask[0, 0]) for stem, mask in masks_in(tmp_path / "root").items()} == {
        "train__a": 2,
        "valid__a": 3,
    }
    assert any("another split of the source, such as test, left out: 1" in note for note in done.notes)


def test_pictures_without_annotations_are_background_or_left_out(tmp_path: Path) -> None:
    path = source(tmp_path, [{"image_id": 1, "category_id": 3, "segmentation": [box(0, 0, 8, 6)]}], n_images=3)
    done = convert(path, root=tmp_path / "root")
    assert not masks_in(tmp_path / "root")["0"].any()
    assert any(note.startswith("pictures without annotations, all background: 2") for note in done.notes)
    with pytest.raises(ValueError, match="1 picture; at least 2"):
        convert(path, root=tmp_path / "root", leave_out=frozenset({"empty"}))


def test_missing_images_are_named_or_left_out(tmp_path: Path) -> None:
    path = source(tmp_path, [{"image_id": 0, "category_id": 3, "segmentation": [box(0, 0, 8, 6)]}], n_images=4)
    for name in ("2.jpg", "3.jpg"):
        (tmp_path / "images" / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"instances\.json: image 2: the image 2\.jpg is missing in .* and 1 more.*--images"
    ):
        convert(path, root=tmp_path / "root")
    assert not (tmp_path / "root").exists()
    done = convert(path, root=tmp_path / "root", leave_out=frozenset({"missing"}))
    assert done.train + done.val == 2
    assert any(
        note.startswith("pictures whose image is missing, left out: 2 (the first: 2.jpg)") for note in done.notes
    )


def test_odd_shapes_are_left_out_and_counted(tmp_path: Path) -> None:
    path = source(
        tmp_path,
        [
            {"image_id": 0, "category_id": 3, "segmentation": [[1, 1, 5, 5]]},  # a box for pycocotools, by mistake
            {"image_id": 0, "category_id": 3, "segmentation": [box(100, 100, 5, 5)]},
            {"image_id": 0, "category_id": 3, "segmentation": [], "bbox": [1, 1, 2, 2]},
        ],
    )
    done = convert(path, root=tmp_path / "root")
    assert np.array_equal(masks_in(tmp_path / "root")["0"], array("00000000 02200000 02200000" + " 00000000" * 3))
    assert [note.split(",")[0] for note in done.notes] == [
        "pictures without annotations",
        "polygons of fewer than 3 points",
        "annotations with a box and no outline",
        "shapes that cover no pixel",
        "classes that no picture shows; --classes can leave them out: 2 (the first: dog)",
    ]


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ({"category_id": 4}, r"annotation 0: there is no category 4; known: 90 \(dog\), 3 \(cat\), 7 \(bird\)"),
        ({"image_id": 10**20}, "annotation 0: there is no image with id 1000"),
        ({"image_id": None}, "'image_id' must be a whole number or a text, not None"),
        ({"segmentation": [[1, 1, 2, 2, 3]]}, "annotation 0: a polygon has 5 coordinates, an odd number"),
        ({"segmentation": [[1, 1, 2, "x", 3, 3]]}, "a polygon is a list of x, y"),
        ({"segmentation": [[1, 1, 2, 1e99, 3, 3]]}, "annotation 0: it has a coordinate that is no number, or far"),
        ({"segmentation": {"size": [8, 6], "counts": [48]}}, r"its RLE is of \[8, 6\] .*, but the image of \[6, 8\]"),
        ({"segmentation": {"size": [6, 8], "counts": [40]}}, "annotation 0: its run lengths add up to 40"),
        ({"segmentation": {"size": [6, 8], "counts": "~"}}, "annotation 0: its RLE has the character '~'"),
        ({"segmentation": "polygon"}, "its segmentation is 'polygon'"),
        ({"segmentation": None}, "neither a segmentation nor a bbox"),
    ],
)
def test_damaged_annotations_are_named_and_nothing_is_written(
    tmp_path: Path, annotation: dict[str, Any], message: str
) -> None:
    right = {"image_id": 0, "category_id": 3, "segmentation": [box(0, 0, 2, 2)]}
    path = source(tmp_path, [right | annotation])
    with pytest.raises(ValueError, match=message):
        convert(path, root=tmp_path / "root")
    assert {entry.name for entry in tmp_path.iterdir()} == {"annotations", "images"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"categories": [{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]}, "category 1: the id 1 is that of a, too"),
        ({"categories": [{"id": 1, "name": " "}]}, "category 0: the class name ' ' is empty"),
        ({"categories": [{"id": 1, "name": "a\nb"}]}, r"the class name 'a\\nb' holds \\n"),
        ({"categories": [{"id": 1, "name": "#1"}]}, "the class name '#1' would be a comment in a list"),
        ({"categories": [{"id": 1}]}, "category 0: 'name' must be a text, but there is none"),
        ({"categories": []}, "no class besides the background"),
        ({"images": [{"id": 0, "file_name": "0.jpg"}] * 2}, "image 1: the id 0 is that of another image"),
        ({"images": []}, "it lists no images"),
        ({"images": [{"id": 0, "file_name": "0.jpg", "height": 60, "width": 80}, {"id": 1, "file_name": "1.jpg"}]},
         "is for 80 x 60 pixels, but the image has 8 x 6"),
    ],
)  # fmt: skip
def test_damaged_lists_are_named(tmp_path: Path, more: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(source(tmp_path, [], **more), root=tmp_path / "root")


def test_huge_ids_folders_windows_paths_and_unicode(tmp_path: Path) -> None:
    names = ["ünï/größe.jpg", "b\\c\\1.jpg", "d/1.JPG"]
    images = [{"id": 10**18 + i, "file_name": name, "height": 6, "width": 8} for i, name in enumerate(names)]
    save_image(tmp_path / "in" / "u\u0308ni\u0308" / "gro\u0308ße.jpg")  # decomposed, as macOS writes it
    save_image(tmp_path / "in" / "b" / "c" / "1.jpg")
    save_image(tmp_path / "in" / "d" / "1.JPG")
    annotations = [
        {"id": i, "image_id": 10**18 + i, "category_id": 10**19, "segmentation": [box(i, 0, 1, 1)]} for i in range(3)
    ]
    categories = [{"id": 10**19, "name": "Straße 🐱"}, {"id": 1, "name": "stra\u0308nge"}]
    path = save_json(
        tmp_path / "in" / "all.json", {"images": images, "annotations": annotations, "categories": categories}
    )
    done = convert(path, root=tmp_path / "root", division=Division(0.3))
    assert done.classes == ("background", "Straße 🐱", "stränge")
    masks = masks_in(tmp_path / "root")
    assert set(masks) == {"größe", "b__c__1", "d__1"}
    assert [int(masks[stem].argmax()) for stem in ("größe", "b__c__1", "d__1")] == [0, 1, 2]


def test_two_files_that_fit_are_not_guessed(tmp_path: Path) -> None:
    path = source(tmp_path, [])
    save_image(tmp_path / "other" / "0.jpg")
    with pytest.raises(ValueError, match=r"image 0: the image 0\.jpg may be .*images.* or .*other.*--images"):
        convert(path, root=tmp_path / "root")


def test_categories_named_background_and_void(tmp_path: Path) -> None:
    categories = [{"id": 0, "name": "Background"}, {"id": 1, "name": "void"}, {"id": 2, "name": "cat"}]
    annotations = [
        {"image_id": 0, "category_id": 2, "segmentation": [box(0, 0, 8, 6)]},
        {"image_id": 0, "category_id": 1, "segmentation": [box(0, 0, 2, 6)]},
        {"image_id": 0, "category_id": 0, "segmentation": [box(0, 0, 1, 6)]},
    ]
    path = source(tmp_path, annotations, categories=categories)
    for void, expected in (("ignore", "0x111111"), ("background", "00111111")):
        done = convert(path, root=tmp_path / "root", void=void)
        assert done.classes == ("background", "cat")
        assert np.array_equal(masks_in(tmp_path / "root")["0"], array(" ".join([expected] * 6)))


def test_more_than_254_classes_have_16_bits(tmp_path: Path) -> None:
    categories = [{"id": i, "name": f"class {i}"} for i in range(300)]
    annotations = [
        {"image_id": 0, "category_id": 299, "segmentation": [box(0, 0, 2, 6)]},
        {"image_id": 0, "category_id": 0, "segmentation": [box(2, 0, 1, 6)], "iscrowd": 1},
    ]
    mask = mask_of(source(tmp_path, annotations, categories=categories), tmp_path)
    assert mask.dtype == np.uint16
    assert mask[0].tolist() == [300, 300, 65535, 0, 0, 0, 0, 0]


def test_chosen_classes(tmp_path: Path) -> None:
    shapes = [
        {"image_id": 0, "category_id": key, "segmentation": [box(2 * i, 0, 2, 6)]} for i, key in enumerate((90, 3, 7))
    ]
    path = source(tmp_path, shapes)
    chosen = tmp_path / "mine.txt"
    chosen.write_text("background\nbird\ndog\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"the class cat is not in --classes; .*--unknown"):
        convert(path, root=tmp_path / "root", classes=chosen)
    for unknown, expected in (("ignore", "22xx1100"), ("background", "22001100")):
        done = convert(path, root=tmp_path / "root", classes=chosen, unknown=unknown)
        assert done.classes == ("background", "bird", "dog")
        assert np.array_equal(masks_in(tmp_path / "root")["0"], array(" ".join([expected] * 6)))


def test_images_that_no_annotation_names_are_counted(tmp_path: Path) -> None:
    path = source(tmp_path, [{"image_id": 0, "category_id": 3, "segmentation": [box(0, 0, 8, 6)]}])
    save_image(tmp_path / "images" / "new.jpg")
    done = convert(path, root=tmp_path / "root")
    assert (
        f"image files that no annotation names, left out: 1 (the first: {tmp_path / 'images' / 'new.jpg'})"
        in done.notes
    )
    assert not (tmp_path / "root" / "images" / "new.jpg").exists()
