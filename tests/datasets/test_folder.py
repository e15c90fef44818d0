"""The user's own folder: what is read, and every bad file named with what to do."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from picture_files import read_values
from PIL import Image

from plopkit.datasets.folder import folder, folder_classes
from plopkit.presets import configure, open_scenario

Root = Callable[..., Path]


def test_folder_reads_images_and_masks(folder_root: Root) -> None:
    root = folder_root(train=4, val=2)
    source = folder(root, "train")
    assert source.stems == ("train-00", "train-01", "train-02", "train-03")
    assert source.classes == ("background", "class 1", "class 2", "class 3")
    assert len(source) == 4
    assert len(folder(root, "val")) == 2
    for index, stem in enumerate(source.stems):
        pair = source.read(index)
        assert pair.image.dtype == pair.mask.dtype == torch.uint8
        assert np.array_equal(pair.image.permute(1, 2, 0), read_values(root / "images" / f"{stem}.jpg"))
        assert np.array_equal(pair.mask, read_values(root / "masks" / f"{stem}.png"))
        assert source.labels(index) == set(pair.mask.unique().tolist())
        assert source.where(index) == str(root / "masks" / f"{stem}.png")


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA", "CMYK"])
def test_images_of_any_mode_become_rgb(mode: str, folder_root: Root) -> None:
    root = folder_root(train=1, val=1)
    old = root / "images" / "train-00.jpg"
    name = "train-00.jpeg" if mode == "CMYK" else "train-00.PNG"
    Image.open(old).convert(mode).save(root / "images" / name)
    old.unlink()
    image = folder(root, "train").read(0).image
    assert image.shape == (3, 40, 48)
    assert (image[0] == image[1]).all() == (mode == "L")


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_palette_of_few_bits_gives_the_same_labels(bits: int, folder_root: Root) -> None:
    root = folder_root(train=1, val=1)
    values = np.zeros((40, 48), np.uint8)
    values[:20] = 1
    picture = Image.fromarray(values)
    picture.putpalette([0, 0, 0, 255, 0, 0] * 2 ** (bits - 1))  # its length determines the number of bits
    picture.save(root / "masks" / "train-00.png")
    assert (root / "masks" / "train-00.png").read_bytes()[24] == bits
    assert np.array_equal(folder(root, "train").read(0).mask, values)


def test_lists_may_have_byte_order_marks_and_blank_lines(folder_root: Root) -> None:
    root = folder_root()
    (root / "train.txt").write_text("\ufefftrain-01 \r\n\r\n train-00\r\n\r\n", encoding="utf-8")
    (root / "classes.txt").write_text("\ufeffvoid\r\nMöwe\r\nraccoon \r\ncow\r\n\r\n", encoding="utf-8")
    source = folder(root, "train")
    assert source.stems == ("train-01", "train-00")
    assert source.classes == ("void", "Möwe", "raccoon", "cow")


def test_lists_may_have_columns(folder_root: Root) -> None:
    root = folder_root()
    (root / "train.txt").write_text("train-01  12.5\ntrain-00 3\n")
    assert folder(root, "train").stems == ("train-01", "train-00")
    (root / "train.txt").write_text("train-01\ntrain-9 9\n")
    with pytest.raises(FileNotFoundError, match=r"train-9 9\.jpg is missing"):
        folder(root, "train")


def test_stems_may_contain_blanks(folder_root: Root) -> None:
    root = folder_root()
    for path in [*root.glob("*/train-01.*")]:
        shutil.copyfile(path, path.with_stem("train-00 (1)"))
    (root / "train.txt").write_text("train-00 (1)\ntrain-00\n", encoding="utf-8")
    source = folder(root, "train")
    assert source.stems == ("train-00 (1)", "train-00")
    assert source.images[0] == root / "images" / "train-00 (1).jpg"
    assert np.array_equal(source.read(0).mask, read_values(root / "masks" / "train-01.png"))


def test_an_image_that_is_listed_twice_is_used_once(folder_root: Root) -> None:
    root = folder_root()
    (root / "train.txt").write_text("train-01\ntrain-00\nimages/train-01.jpg\ntrain-00.jpg\n", encoding="utf-8")
    source = folder(root, "train")
    assert source.stems == ("train-01", "train-00")
    (remark,) = source.remarks
    assert remark.endswith("train.txt: line 3 names train-01 again, as line 1 does and 1 more; each image is used once")
    (root / "train.txt").write_text("train-01\ntrain-00\n", encoding="utf-8")
    assert folder(root, "train").remarks == ()


def without_root(root: Path) -> str:
    root.rename(root.with_name("moved"))
    return r"my data: no such folder; data.root must contain images/, masks/ and classes.txt"


def without_images(root: Path) -> str:
    shutil.rmtree(root / "images")
    return r"my data: it contains no images/; images/\*.jpg and masks/\*.png are needed"


def without_masks(root: Path) -> str:
    shutil.rmtree(root / "masks")
    return r"my data: it contains no masks/; images/\*.jpg and masks/\*.png are needed"


def without_list(root: Path) -> str:
    (root / "train.txt").unlink()
    return r"train.txt: no train list; write the file stems of that split, one per line"


def without_classes(root: Path) -> str:
    (root / "classes.txt").unlink()
    return r"classes.txt is missing; write one class name per line, the background first"


def missing_image(root: Path) -> str:
    (root / "images" / "train-01.jpg").unlink()
    return r"train-01.jpg is missing; complete the data set, or remove the image from the split file"


def missing_masks(root: Path) -> str:
    for index in (1, 3, 4):
        (root / "masks" / f"train-0{index}.png").unlink()
    return r"train-01.png is missing and 2 more; complete the data set"


def listed_only(root: Path) -> str:
    with open(root / "train.txt", "a", encoding="utf-8") as file:
        file.write("train-99\n")
    return r"train.txt: line 9: .*train-99.jpg is missing; complete the data set, or remove the .* \(the nearest name"


def empty_list(root: Path) -> str:
    (root / "train.txt").write_text(" \n\n", encoding="utf-8")
    return r"train.txt: the split is empty; write one file stem per line"


def two_images_of_one_stem(root: Path) -> str:
    Image.open(root / "images" / "train-01.jpg").save(root / "images" / "train-01.png")
    return r"train-01.jpg and train-01.png have the same stem; keep one image per mask"


def too_few_classes(root: Path) -> str:
    (root / "classes.txt").write_text("background\n", encoding="utf-8")
    return r"classes.txt: 1 names; the background and 1 to 254 classes are needed, one per line"


def too_many_classes(root: Path) -> str:
    (root / "classes.txt").write_text("".join(f"{i}\n" for i in range(256)), encoding="utf-8")
    return r"classes.txt: 256 names; the background and 1 to 254 classes are needed, one per line"


def no_class_at_all(root: Path) -> str:
    (root / "classes.txt").write_text("\n", encoding="utf-8")
    return r"classes.txt: 0 names"


def repeated_class(root: Path) -> str:
    (root / "classes.txt").write_text("background\ncat\ndog\ncat\n", encoding="utf-8")
    return r"classes.txt: the class name 'cat' is repeated; every name must be unique"


def gap_in_the_classes(root: Path) -> str:
    (root / "classes.txt").write_text("background\ncat\n\ndog\n", encoding="utf-8")
    return r"classes.txt: line 3 is empty; line n names label n - 1"


def classes_in_latin_1(root: Path) -> str:
    (root / "classes.txt").write_bytes("background\nMöwe\nKuh\nPferd\n".encode("latin-1"))
    return r"classes.txt: not UTF-8 text .*; save it as UTF-8"


@pytest.mark.parametrize(
    ("spoil", "kind"),
    [
        (without_root, FileNotFoundError),
        (without_images, FileNotFoundError),
        (without_masks, FileNotFoundError),
        (without_list, FileNotFoundError),
        (without_classes, FileNotFoundError),
        (missing_image, FileNotFoundError),
        (missing_masks, FileNotFoundError),
        (listed_only, FileNotFoundError),
        (empty_list, ValueError),
        (two_images_of_one_stem, ValueError),
        (too_few_classes, ValueError),
        (too_many_classes, ValueError),
        (no_class_at_all, ValueError),
        (repeated_class, ValueError),
        (gap_in_the_classes, ValueError),
        (classes_in_latin_1, ValueError),
    ],
)
def test_a_broken_folder_is_reported(spoil: Callable[[Path], str], kind: type[Exception], folder_root: Root) -> None:
    root = folder_root()
    folder(root, "train")
    message = spoil(root)
    with pytest.raises(kind, match=message):
        folder(root, "train")


@pytest.mark.parametrize("stem", ["../../x", "..", "/etc/x", "a/../../x", "..\\..\\x", "C:\\x", "C:x"])
def test_a_list_that_leads_outside_is_refused(stem: str, folder_root: Root) -> None:
    root = folder_root()
    (root.parent / "x.jpg").write_bytes((root / "images" / "train-00.jpg").read_bytes())
    (root.parent / "x.png").write_bytes((root / "masks" / "train-00.png").read_bytes())
    (root / "train.txt").write_text(f"train-00\n{stem}\n", encoding="utf-8")
    with pytest.raises(ValueError, match=r"train\.txt: .* leads out of the folder images/; write the image's"):
        folder(root, "train")


def test_a_stem_may_have_dots_and_a_folder(folder_root: Root) -> None:
    root = folder_root(train=2)
    for kind, suffix in (("images", ".jpg"), ("masks", ".png")):
        (root / kind / "sub").mkdir()
        (root / kind / f"train-00{suffix}").rename(root / kind / "sub" / f"a..b{suffix}")
    (root / "train.txt").write_text("sub/a..b\ntrain-01\n", encoding="utf-8")
    assert folder(root, "train").read(0).mask.shape == (40, 48)


@pytest.mark.parametrize("name", ["classes.txt", "train.txt"])
@pytest.mark.parametrize("character", ["\x1b", "\0", "\x0b", "\x1c", "\x85", "\u202e", "\u2028"])
def test_a_name_with_a_control_character_is_refused(name: str, character: str, folder_root: Root) -> None:
    root = folder_root()
    lines = (root / name).read_text(encoding="utf-8").splitlines()
    lines[1] = f"a{character}b"
    (root / name).write_text("\n".join(lines), encoding="utf-8")
    escape = re.escape(character.encode("unicode_escape").decode())
    with pytest.raises(ValueError, match=rf"{name}: line 2 holds the control character {escape}; correct the line"):
        folder(root, "train")


@pytest.mark.parametrize("name", ["classes.txt", "train.txt"])
@pytest.mark.parametrize(("text", "problem"), [("a" * 2000, "line 1 has 2,000 char"), ("a\n" * 2**23, "16,777,216")])
def test_a_list_that_is_none_is_refused(name: str, text: str, problem: str, folder_root: Root) -> None:
    root = folder_root()
    (root / name).write_text(text + "\n", encoding="utf-8")
    with pytest.raises(ValueError, match=rf"{name}: .*{problem}"):
        folder(root, "train")


def test_a_task_that_does_not_fit_says_how_the_classes_are_counted(folder_root: Callable[..., Path]) -> None:
    root = folder_root()
    (root / "classes.txt").write_text("cat\ndog\ncow\n")
    message = r"nearest: 'folder 1-1 overlap' \(the data name 3 labels, of which the first, 'cat', is the background\)"
    with pytest.raises(ValueError, match=message):
        open_scenario(configure("folder 2-1 overlap", "ft", "smoke", {"data.root": root}))


def test_what_may_not_be_read_is_named_with_its_remedy(
    folder_root: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = folder_root()

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "x")

    with monkeypatch.context() as patch:
        patch.setattr("plopkit.datasets.pictures.Image.open", refuse)
        with pytest.raises(
            ValueError, match=r"train-00\.png: cannot be read \(Permission denied\); fix its permissions"
        ):
            folder(root, "train").labels(0)
    with monkeypatch.context() as patch:
        patch.setattr("plopkit.datasets.file_index.os.scandir", refuse)
        with pytest.raises(PermissionError, match=r"masks/: cannot be read \(Permission denied\); fix its permissions"):
            folder(root, "train")
    monkeypatch.setattr("plopkit.support.places.open", refuse, raising=False)
    with pytest.raises(PermissionError, match=r"classes\.txt: cannot be read \(Permission denied\); fix its permi"):
        folder_classes(root)
