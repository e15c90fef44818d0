"""Turns of photographs, against Pillow's, and which of image and mask is turned."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from plopkit.datasets.files import FileSource
from plopkit.datasets.turns import ORIENTATION, Turn, orientation_of, turn_of, turned

VALUES = np.arange(6 * 9 * 3, dtype=np.uint8).reshape(6, 9, 3)


def saved(path: Path, orientation: int, values: np.ndarray = VALUES) -> Path:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(values).save(path, exif=exif, **({"lossless": True} if path.suffix == ".webp" else {}))
    return path


@pytest.mark.parametrize("suffix", [".png", ".webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_turned_as_pillow_turns_them(orientation: int, suffix: str, tmp_path: Path) -> None:
    with Image.open(saved(tmp_path / f"a{suffix}", orientation)) as picture:
        picture.load()
        assert orientation_of(picture) == orientation
        expected = np.array(ImageOps.exif_transpose(picture))
    assert np.array_equal(turned(VALUES, orientation), expected)
    assert np.array_equal(turned(VALUES[..., 0], orientation), expected[..., 0])


@pytest.mark.parametrize("content", [b"Exif\0\0nonsense", b"Exif\0\0II*\0\xff\xff\xff\xff", b""])
@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_exif_data_turn_nothing(content: bytes, tmp_path: Path) -> None:
    Image.fromarray(VALUES).save(tmp_path / "a.png", exif=content)
    with Image.open(tmp_path / "a.png") as picture:
        picture.load()
        assert orientation_of(picture) == 1


@pytest.mark.parametrize(
    ("size", "orientation", "mask_size", "expected", "is_sure"),
    [
        ((9, 6), 1, (9, 6), Turn(1, 1), True),
        ((9, 6), 6, (6, 9), Turn(6, 1), False),
        ((9, 6), 6, (9, 6), Turn(6, 6), True),
        ((9, 9), 6, (9, 9), Turn(6, 1), False),
        ((9, 6), 3, (9, 6), Turn(3, 1), False),
        ((9, 6), 1, (6, 9), None, True),
        ((9, 6), 6, (9, 9), None, True),
    ],
)
def test_the_sizes_say_what_is_turned(
    size: tuple[int, int], orientation: int, mask_size: tuple[int, int], expected: Turn | None, is_sure: bool
) -> None:
    assert turn_of(size, orientation, mask_size) == expected
    assert expected is None or expected.is_sure == is_sure


@pytest.mark.parametrize("orientation", range(1, 9))
def test_image_and_mask_stay_on_top_of_each_other(orientation: int, tmp_path: Path) -> None:
    """Whether the mask was drawn on the picture as it is stored or as it is shown."""
    stored = (VALUES[..., 0] % 3).astype(np.uint8)
    saved(tmp_path / "a.png", orientation, np.repeat(stored[..., None], 3, 2))
    shown = turned(stored, orientation)
    drawn = {"shown": shown} | ({"stored": stored} if shown.shape != stored.shape else {})
    for name, mask in drawn.items():
        Image.fromarray(mask).save(tmp_path / f"{name}.png")
        pair = FileSource(("a", "b", "c"), ["a"], [tmp_path / "a.png"], [tmp_path / f"{name}.png"], turn=True).read(0)
        assert np.array_equal(pair.image[0], shown)
        assert np.array_equal(pair.mask, shown)


def test_released_data_sets_are_read_as_they_are_stored(tmp_path: Path) -> None:
    path = saved(tmp_path / "a.png", 6)
    Image.fromarray(VALUES[..., 0] % 2).save(tmp_path / "mask.png")
    pair = FileSource(("a", "b"), ["a"], [path], [tmp_path / "mask.png"]).read(0)
    assert np.array_equal(pair.image.permute(1, 2, 0), VALUES)
