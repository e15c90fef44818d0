"""COCO's panoptic segmentation."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conversions import array, convert, masks_in, save_image, save_json

BIG = 7 + 256 * 200 + 65536 * 3
IDS = np.array([[0, 5, 5], [BIG, BIG, 9]])


def source(folder: Path, segments: list[dict[str, Any]], ids: np.ndarray = IDS) -> Path:
    save_image(folder / "images" / "1.jpg", ids.shape)
    save_image(folder / "images" / "2.jpg", ids.shape)
    colours = np.stack([ids % 256, ids // 256 % 256, ids // 65536], -1).astype(np.uint8)
    for name in ("1.png", "2.png"):
        save_image(folder / "annotations" / "panoptic_train" / name, pixels=colours)
    size = {"height": ids.shape[0], "width": ids.shape[1]}
    return save_json(
        folder / "annotations" / "panoptic_train.json",
        {
            "images": [{"id": i, "file_name": f"{i}.jpg"} | size for i in (1, 2)],
            "annotations": [{"image_id": i, "file_name": f"{i}.png", "segments_info": segments} for i in (1, 2)],
            "categories": [{"id": 200, "name": "sky", "isthing": 0}, {"id": 1, "name": "cat", "isthing": 1}],
        },
    )


SEGMENTS = [{"id": 5, "category_id": 1}, {"id": BIG, "category_id": 200}, {"id": 9, "category_id": 1}]


@pytest.mark.parametrize(("void", "first"), [("ignore", "x22 112"), ("background", "022 112")])
def test_ids_of_three_colours_and_void(tmp_path: Path, void: str, first: str) -> None:
    done = convert(source(tmp_path, SEGMENTS), root=tmp_path / "root", void=void)
    assert (done.format, done.classes) == ("coco-panoptic", ("background", "sky", "cat"))
    assert np.array_equal(masks_in(tmp_path / "root")["1"], array(first))
    assert any("void" in note for note in done.notes)


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        (SEGMENTS[:2], r"panoptic_train/1\.png: 1 pixels have the id 9, which is not in segments_info of .*image 1"),
        ([{"id": 5, "category_id": 2}], r"image 1: segment 5: there is no category 2; known: 200 \(sky\), 1 \(cat\)"),
        ([{"id": 2**24, "category_id": 1}], "16777216 is no id of a segment"),
        ([{"id": "5", "category_id": 1}], "'id' must be a whole number, not '5'"),
    ],
)
def test_damaged_segments_are_named(tmp_path: Path, segments: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        convert(source(tmp_path, segments), root=tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_missing_and_other_files(tmp_path: Path) -> None:
    path = source(tmp_path, SEGMENTS)
    mask = tmp_path / "annotations" / "panoptic_train" / "2.png"
    save_image(mask, (3, 3))
    with pytest.raises(ValueError, match=r"2\.png: 3 x 3 pixels, but its image has 3 x 2"):
        convert(path, root=tmp_path / "root")
    mask.unlink()
    with pytest.raises(FileNotFoundError, match=r"image 2: the image 2\.png is missing"):
        convert(path, root=tmp_path / "root")
