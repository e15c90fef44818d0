"""Pictures of any mode as colours, turned as a viewer turns them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from plopkit.datasets.upright import ORIENTATION, read_upright, upright

COLOURS = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)


def with_orientation(orientation: object) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_all_orientations(tmp_path: Path, orientation: int, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(COLOURS).save(path, exif=with_orientation(orientation))
    with Image.open(path) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(read_upright(path), expected)
    assert read_upright(path).shape == ((8, 5, 3) if orientation > 4 else (5, 8, 3))


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_unknown_orientations_turn_nothing(tmp_path: Path, orientation: int) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "x.png", exif=with_orientation(orientation))
    np.testing.assert_array_equal(read_upright(tmp_path / "x.png"), COLOURS)


def test_damaged_exif_data_turn_nothing(tmp_path: Path) -> None:
    Image.fromarray(COLOURS).save(tmp_path / "x.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff" + bytes(9))
    np.testing.assert_array_equal(read_upright(tmp_path / "x.png"), COLOURS)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"])
def test_modes_become_colours(mode: str) -> None:
    picture = Image.fromarray(COLOURS).convert("L").convert(mode) if mode == "PA" else Image.fromarray(COLOURS)
    picture = picture.convert(mode)
    np.testing.assert_array_equal(upright(picture), np.asarray(picture.convert("RGB")))


def test_sixteen_bits_of_grey_keep_their_upper_eight(tmp_path: Path) -> None:
    values = np.array([[0, 255, 256, 65535, 32768]], np.uint16)
    Image.fromarray(values).save(tmp_path / "x.png")
    found = read_upright(tmp_path / "x.png")
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, np.array([[0, 0, 1, 255, 128]])[..., None].repeat(3, 2))


@pytest.mark.parametrize("mode", ["I", "F"])
def test_numbers_of_32_bits_are_refused(mode: str) -> None:
    with pytest.raises(ValueError, match=f"x.tif: pixels of the kind '{mode}', numbers of 32 bits; save it with 8"):
        upright(Image.new(mode, (4, 4)), "x.tif")


def test_missing_and_damaged_files(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no\.png"):
        read_upright(tmp_path / "no.png")
    (tmp_path / "damaged.png").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"damaged\.png: not a readable image"):
        read_upright(tmp_path / "damaged.png")
