"""Images are written upright, and masks with them."""

from pathlib import Path

import numpy as np
import pytest
from conversions import EXIF_ORIENTATION, array, convert, masks_in, save_image, save_json
from PIL import Image, ImageOps

from plopkit.datasets.convert.pixels import turned

SCENE = np.zeros((24, 32, 3), np.uint8)
SCENE[:8, :16] = 255  # upper left


@pytest.mark.parametrize("orientation", range(1, 9))
def test_arrays_turn_as_pillow_turns_pictures(orientation: int) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4)
    picture = Image.fromarray(values)
    picture.getexif()[EXIF_ORIENTATION] = orientation
    assert np.array_equal(turned(values, orientation), np.array(ImageOps.exif_transpose(picture)))


def source(folder: Path, orientation: int, frame: tuple[int, int], box: list[int], suffix: str) -> Path:
    for i in range(2):
        save_image(folder / f"{i}{suffix}", orientation=orientation, pixels=SCENE)
    x, y, w, h = box
    return save_json(
        folder / "coco.json",
        {
            "images": [{"id": i, "file_name": f"{i}{suffix}", "height": frame[0], "width": frame[1]} for i in range(2)],
            "annotations": [
                {"id": 0, "image_id": 0, "category_id": 1, "segmentation": [[x, y, x + w, y, x + w, y + h, x, y + h]]}
            ],
            "categories": [{"id": 1, "name": "light"}],
        },
    )


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize(
    ("orientation", "frame", "box", "note"),
    [
        (6, (32, 24), [16, 0, 8, 16], "annotations are for the turned ones"),
        (6, (24, 32), [0, 0, 16, 8], "and their masks with them"),
        (3, (24, 32), [16, 16, 16, 8], "annotations are for the turned ones"),
        (8, (32, 24), [0, 16, 8, 16], "annotations are for the turned ones"),
    ],
)
def test_a_picture_turned_by_exif(
    tmp_path: Path, orientation: int, frame: tuple[int, int], box: list[int], note: str, suffix: str
) -> None:
    done = convert(source(tmp_path / "in", orientation, frame, box, suffix), root=tmp_path / "root")
    written = Image.open(tmp_path / "root" / "images" / f"0{suffix}")
    assert not written.getexif()
    expected = turned(SCENE[..., 0] > 128, orientation)
    assert np.array_equal(np.array(written.convert("L")) > 128, expected)
    assert np.array_equal(masks_in(tmp_path / "root")["0"], expected)
    assert any(note in line for line in done.notes)


def test_files_that_are_right_are_copied_or_linked(tmp_path: Path) -> None:
    path = source(tmp_path / "in", 1, (24, 32), [0, 0, 4, 4], ".jpg")
    image = tmp_path / "in" / "0.jpg"
    convert(path, root=tmp_path / "copied")
    convert(path, root=tmp_path / "linked", link=True)
    assert (tmp_path / "copied" / "images" / "0.jpg").read_bytes() == image.read_bytes()
    assert not (tmp_path / "copied" / "images" / "0.jpg").is_symlink()
    assert (tmp_path / "linked" / "images" / "0.jpg").resolve() == image


def test_masks_have_the_palette_of_plopkit(tmp_path: Path) -> None:
    from plopkit.viz.colours import PALETTE

    convert(source(tmp_path / "in", 1, (24, 32), [0, 0, 4, 4], ".png"), root=tmp_path / "root")
    mask = Image.open(tmp_path / "root" / "masks" / "0.png")
    assert mask.mode == "P"
    assert np.array_equal(np.array(mask.convert("RGB"))[0, 0], PALETTE[1])


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("0.jpg", b"no image", r"0\.jpg: not a readable image"),
        ("0.jpg", b"", r"0\.jpg: not a readable image \(it is empty\)"),
        ("0.png", "deep", r"0\.png: an image must have 8 bits per channel, but its mode is I;16"),
        ("0.jpg", "cut", r"0\.jpg: (damaged or truncated|not a readable image \(Truncated)"),
    ],
)
def test_wrong_images_are_named(tmp_path: Path, name: str, content: bytes | str, message: str) -> None:
    path = source(tmp_path / "in", 1, (24, 32), [0, 0, 4, 4], Path(name).suffix)
    image = tmp_path / "in" / name
    if content == "deep":
        save_image(image, pixels=array("01 10").astype(np.uint16))
    elif content == "cut":
        image.write_bytes(image.read_bytes()[:-40])
    else:
        image.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        convert(path, root=tmp_path / "root")
    assert not (tmp_path / "root").exists()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["in"]
