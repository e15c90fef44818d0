"""Which file an annotation means, and under which name a picture is written."""

import os
from pathlib import Path

import pytest
from conversions import save_image

from plopkit.datasets.convert.images import Images, file_stems


@pytest.mark.parametrize(
    ("names", "stems"),
    [
        (["a/1.jpg", "a/2.jpg"], ["1", "2"]),
        (["a/1.jpg", "b/1.jpg", "b/2.jpg"], ["a__1", "b__1", "2"]),
        (["1.jpg", "1.png"], ["1_jpg", "1_png"]),
        (["a/X.jpg", "b/x.jpg"], ["a__X", "b__x"]),  # one file where case does not matter
        (["gro\u0308ße.jpg"], ["größe"]),
        (["../../x/1.jpg", "C:\\data\\2.jpg"], ["1", "2"]),
        (["#1.jpg", ".b/.2.jpg", " 3 .jpg", "a\nb.jpg", "\u202eevil.jpg"], ["_1", "_2", "3", "a_b", "_evil"]),
        (["a.b.jpg", "two words.jpg"], ["a.b", "two words"]),
    ],
)
def test_stems(names: list[str], stems: list[str]) -> None:
    assert file_stems(names) == stems


@pytest.mark.parametrize("names", [["1.jpg", "1.jpg"], ["a/1.jpg", "b/1.jpg", "a__1.jpg"], ["a/1.jpg", "A/1.jpg"]])
def test_pictures_that_cannot_be_told_apart(names: list[str]) -> None:
    with pytest.raises(ValueError, match=r"the pictures .* and .* would both be written as"):
        file_stems(names)


def test_files_by_the_end_of_their_path(tmp_path: Path) -> None:
    for name in ("train/a.jpg", "val/a.jpg", "b.jpg", "x/b.jpg", "C.PNG"):
        save_image(tmp_path / name)
    images = Images(tmp_path)
    assert images.find("train/a.jpg", "") == tmp_path / "train" / "a.jpg"
    assert images.find("http://host/some/val/a.jpg", "") == tmp_path / "val" / "a.jpg"
    assert images.find("a.jpg", "", split="val") == tmp_path / "val" / "a.jpg"
    assert images.find("a.jpg", "", near=tmp_path / "train") == tmp_path / "train" / "a.jpg"
    assert images.find("b.jpg", "") == tmp_path / "b.jpg"  # exactly this path
    assert images.find("D:\\photos\\c.png", "") == tmp_path / "C.PNG"
    assert images.find("../../etc/passwd.jpg", "") is None
    with pytest.raises(ValueError, match=r"entry 1: the image a\.jpg may be"):
        images.find("a.jpg", "entry 1")


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such names")
def test_hidden_files_are_no_images(tmp_path: Path) -> None:
    for name in ("._a.jpg", ".git/b.jpg", "__MACOSX/c.jpg", "d.jpg"):
        save_image(tmp_path / name)
    (tmp_path / "e.txt").write_text("", encoding="utf-8")
    assert Images(tmp_path).files == [tmp_path / "d.jpg"]
