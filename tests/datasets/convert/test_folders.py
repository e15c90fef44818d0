"""Folders of images and masks: colours, black and white, ids."""

from pathlib import Path

import numpy as np
import pytest
from conversions import array, convert, lines, masks_in, save_image

from plopkit.datasets.convert.annotated import ClassNames
from plopkit.datasets.convert.colours import colour_table, has_colours, indexed

CSV = "name,r,g,b\nsky,70,130,180\nroad,128,64,128\nVoid,0,0,0\n"
COLOURS = {"s": (70, 130, 180), "r": (128, 64, 128), "v": (0, 0, 0), "?": (71, 130, 180), "w": (255, 255, 255)}


def coloured(text: str) -> np.ndarray:
    return np.array([[COLOURS[letter] for letter in row] for row in text.split()], np.uint8)


def source(folder: Path, text: str = "ssv rrv", n_images: int = 2, suffix: str = ".png") -> Path:
    for i in range(n_images):
        save_image(folder / "images" / f"{i}.jpg", coloured(text).shape[:2])
        save_image(folder / "masks" / f"{i}{suffix}", pixels=coloured(text))
    (folder / "classes.csv").write_text(CSV, encoding="utf-8")
    return folder


def test_exact_colours_and_void(tmp_path: Path) -> None:
    path = source(tmp_path / "in")
    done = convert(path, root=tmp_path / "root", classes=path / "classes.csv")
    assert (done.format, done.classes) == ("rgb", ("background", "sky", "road"))
    assert np.array_equal(masks_in(tmp_path / "root")["0"], array("11x 22x"))
    convert(path, root=tmp_path / "root", classes=path / "classes.csv", void="background")
    assert np.array_equal(masks_in(tmp_path / "root")["0"], array("110 220"))


def test_an_unknown_colour_is_named_with_the_nearest_one(tmp_path: Path) -> None:
    path = source(tmp_path / "in", "s?v rrw")
    message = (
        r"masks/0\.png: 1 pixels have the colour \((71, 130, 180|255, 255, 255)\), which is no class, and 1 more"
        r" colours are unknown; the nearest is (sky|road) \(.*--unknown ignore"
    )
    with pytest.raises(ValueError, match=message):
        convert(path, root=tmp_path / "root", classes=path / "classes.csv")
    assert not (tmp_path / "root").exists()
    for unknown, expected in (("ignore", "1xx 22x"), ("background", "10x 220")):
        done = convert(path, root=tmp_path / "root", classes=path / "classes.csv", unknown=unknown)
        assert np.array_equal(masks_in(tmp_path / "root")["0"], array(expected))
        assert any(note.startswith("masks with unknown colours") for note in done.notes)


def test_a_mask_saved_as_jpeg_is_explained(tmp_path: Path) -> None:
    path = source(tmp_path / "in", "ssrrss " * 6, suffix=".jpg")
    with pytest.raises(ValueError, match=r"0\.jpg: .* save masks as PNG, because JPEG changes colours"):
        convert(path, root=tmp_path / "root", classes=path / "classes.csv")


def test_binary_masks(tmp_path: Path) -> None:
    path = source(tmp_path / "in", "vww vvw")
    done = convert(path, root=tmp_path / "root", binary="tumour")
    assert done.classes == ("background", "tumour")
    assert np.array_equal(masks_in(tmp_path / "root")["0"], array("011 001"))
    save_image(path / "masks" / "1.png", pixels=np.array([[0, 255, 3], [0, 0, 255]], np.uint8))
    with pytest.raises(ValueError, match=r"1\.png: 1 pixels have the colour \(3, 3, 3\).*the nearest is background"):
        convert(path, root=tmp_path / "root", binary="tumour")


def test_masks_of_ids_with_a_list_of_names(tmp_path: Path) -> None:
    for i, ids in enumerate(("0122 x110", "0000 3000")):
        save_image(tmp_path / "img" / f"{i}.png", (2, 4))
        save_image(tmp_path / "Labels" / f"{i}.png", pixels=array(ids))
    names = tmp_path / "names.txt"
    names.write_text("sky\nbackground\nroad\n", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"Labels/1\.png: 1 pixels have the id 3, but --classes names 3 classes, from id 0"
    ):
        convert(tmp_path, root=tmp_path / "root", classes=names, format="rgb")
    done = convert(tmp_path, root=tmp_path / "root", classes=names, format="rgb", unknown="ignore")
    assert done.classes == ("background", "sky", "road")
    assert np.array_equal(masks_in(tmp_path / "root")["0"], array("1022 x001"))
    assert np.array_equal(masks_in(tmp_path / "root")["1"], array("1111 x111"))


def test_names_that_differ_by_ending_case_and_folder(tmp_path: Path) -> None:
    for name, mask in (("train/a.JPG", "train/a_mask.png"), ("val/B.jpg", "val/b_L.PNG"), ("val/c.jpg", "val/c.png")):
        save_image(tmp_path / "in" / "JPEGImages" / name, (2, 3))
        save_image(tmp_path / "in" / "SegmentationClass" / mask, pixels=coloured("ssv rrv"))
    save_image(tmp_path / "in" / "JPEGImages" / "._junk.jpg", (2, 3))
    table = tmp_path / "t.csv"
    table.write_text(CSV, encoding="utf-8")
    done = convert(tmp_path / "in", root=tmp_path / "root", classes=table)
    assert done.divided == "as in the source"
    assert lines(tmp_path / "root" / "train.txt") == ["a"]
    assert lines(tmp_path / "root" / "val.txt") == ["B", "c"]


def test_missing_and_double_masks(tmp_path: Path) -> None:
    path = source(tmp_path / "in", n_images=3)
    (path / "masks" / "1.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"images/1\.jpg: there is no mask with this name in .*--leave-out missing"
    ):
        convert(path, root=tmp_path / "root", classes=path / "classes.csv")
    done = convert(path, root=tmp_path / "root", classes=path / "classes.csv", leave_out=frozenset({"missing"}))
    assert done.train + done.val == 2
    save_image(path / "masks" / "0.tif", pixels=coloured("ssv rrv"))
    with pytest.raises(ValueError, match=r"0\.png and .*0\.tif are masks of the same image"):
        convert(path, root=tmp_path / "root", classes=path / "classes.csv", leave_out=frozenset({"missing"}))


def test_a_mask_of_another_size_is_named(tmp_path: Path) -> None:
    path = source(tmp_path / "in")
    save_image(path / "images" / "0.jpg", (5, 5))
    with pytest.raises(ValueError, match=r"masks/0\.png: the annotation is for 3 x 2 pixels, but the image has 5 x 5"):
        convert(path, root=tmp_path / "root", classes=path / "classes.csv")


def test_what_is_needed_is_said(tmp_path: Path) -> None:
    path = source(tmp_path / "in")
    with pytest.raises(ValueError, match=r"a table of the classes' colours is needed: --classes FILE"):
        convert(path, root=tmp_path / "root")
    (path / "masks").rename(path / "x")
    with pytest.raises(FileNotFoundError, match=r"it contains no folder of masks .*--masks"):
        convert(path, root=tmp_path / "root", classes=path / "classes.csv", format="rgb")
    done = convert(path, root=tmp_path / "root", classes=path / "classes.csv", format="rgb", masks=path / "x")
    assert done.train + done.val == 2


@pytest.mark.parametrize(
    "text",
    [
        "name,r,g,b\nsky,70,130,180\nroad,128,64,128\n",
        "r,g,b,name\r\n70,130,180,sky\r\n128,64,128,road\r\n",
        "\ufeffsky;70;130;180\nroad;128;64;128",
        "70 130 180\tsky\n128 64 128\troad\n".replace("\t", " "),
        "sky,#4682B4\nroad,#804080\n",
        "id,name,r,g,b\n0,sky,70,130,180\n1,road,128,64,128\n",
        "# label:color_rgb:parts:actions\nsky:70,130,180::\nroad:128,64,128::\n",
        "name\tcolour\nsky\t#4682b4\n\nroad\t#804080\n",
    ],
)
def test_tables_of_colours(tmp_path: Path, text: str) -> None:
    path = tmp_path / "classes.csv"
    path.write_bytes(text.encode())
    assert has_colours(path)
    assert colour_table(path, ClassNames()) == {(70, 130, 180): "sky", (128, 64, 128): "road"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sky,1,2,3\nroad,1,2,300\n", "'road,1,2,300' is no class with a colour"),
        ("sky,1,2,3\nroad,1,2,3\n", r"the colour \(1, 2, 3\) is that of sky, too"),
        ("name,r,g,b\n", "it names no class with a colour"),
    ],
)
def test_wrong_tables_of_colours(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "classes.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        colour_table(path, ClassNames())


def test_indices_of_colours_against_a_loop() -> None:
    rng = np.random.default_rng(0)
    colours = [(9, 0, 255), (0, 0, 0), (0, 9, 1)]
    values = np.array([*colours, (9, 0, 254), (255, 255, 255)], np.uint8)[rng.integers(0, 5, (20, 30))]
    indices, unknown = indexed(values, colours)
    for y in range(20):
        for x in range(30):
            own = tuple(int(part) for part in values[y, x])
            assert indices[y, x] == (colours.index(own) if own in colours else -1)
    assert sum(unknown.values()) == (indices < 0).sum()
    assert set(unknown) == {(9, 0, 254), (255, 255, 255)}
