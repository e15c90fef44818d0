"""Files on disk: what is read, every bad input with its file and remedy, and which labels each image has."""

import os
import shutil
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plopkit.datasets import n_labels, open_split, scan
from plopkit.datasets.counts import presence as presence_of
from plopkit.datasets.files import FileSource
from plopkit.datasets.folder import folder, folder_classes
from plopkit.datasets.scan import cache_folder
from plopkit.datasets.voc import voc
from plopkit.settings import Data

Root = Callable[..., Path]


def truth(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def save_mask(path: Path, values: np.ndarray, **options: object) -> None:
    Image.fromarray(values).save(path, **options)


def cut(path: Path, share: float) -> None:
    """Leave only the first bytes of a file."""
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


# A folder of one's own


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
        assert np.array_equal(pair.image.permute(1, 2, 0), truth(root / "images" / f"{stem}.jpg"))
        assert np.array_equal(pair.mask, truth(root / "masks" / f"{stem}.png"))
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
def test_a_palette_of_few_bits_holds_the_same_labels(bits: int, folder_root: Root) -> None:
    root = folder_root(train=1, val=1)
    values = np.zeros((40, 48), np.uint8)
    values[:20] = 1
    picture = Image.fromarray(values)
    picture.putpalette([0, 0, 0, 255, 0, 0] * 2 ** (bits - 1))  # the palette's length decides on the bits
    picture.save(root / "masks" / "train-00.png")
    assert (root / "masks" / "train-00.png").read_bytes()[24] == bits
    assert np.array_equal(folder(root, "train").read(0).mask, values)


def test_lists_may_have_marks_and_blank_lines(folder_root: Root) -> None:
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


def test_stems_may_hold_blanks(folder_root: Root) -> None:
    root = folder_root()
    for path in [*root.glob("*/train-01.*")]:
        shutil.copyfile(path, path.with_stem("train-00 (1)"))
    (root / "train.txt").write_text("train-00 (1)\ntrain-00\n", encoding="utf-8")
    source = folder(root, "train")
    assert source.stems == ("train-00 (1)", "train-00")
    assert source.images[0] == root / "images" / "train-00 (1).jpg"
    assert np.array_equal(source.read(0).mask, truth(root / "masks" / "train-01.png"))


def test_open_split_finds_the_reader_of_a_data_set(folder_root: Root, voc_root: Root) -> None:
    root = folder_root(classes=5)
    data = Data(root=root, scenes=3, val_scenes=2, size=32)
    assert open_split("folder", "val", data).stems == folder(root, "val").stems
    assert len(open_split("voc", "val", Data(root=voc_root()))) == 2
    assert [len(open_split("emoji", split, data)) for split in ("train", "val")] == [3, 2]
    assert not torch.equal(
        open_split("emoji", "val", data, 1).read(0).image, open_split("emoji", "val", data).read(0).image
    )
    assert n_labels("folder", data) == 5
    assert n_labels("voc", data) is None
    for call in (lambda: open_split("voc", "val", Data()), lambda: n_labels("folder", Data())):
        with pytest.raises(ValueError, match=r"needs data\.root"):
            call()
    with pytest.raises(ValueError, match="there is no data set 'coco'; known: voc, emoji, ade, folder"):
        open_split("coco", "val", data)


# VOC


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_root_is_the_folder_or_one_that_holds_it(below: str, voc_root: Root) -> None:
    source = voc(voc_root() / below, "val")
    assert source.stems == ("2007_000003", "2007_000004")
    assert source.classes[20] == "tvmonitor"


@pytest.mark.parametrize("name", ["train_aug.txt", "trainaug.txt"])
def test_augmented_masks_and_list_come_first(name: str, voc_root: Root) -> None:
    root = voc_root(aug_list=name)
    source = voc(root, "train")
    assert source.stems == ("2007_000000", "2007_000001", "2008_000002")
    assert [source.labels(index) for index in range(3)] == [{0, i + 1, i + 12, 255} for i in range(3)]
    assert voc(root, "val").labels(0) == {0, 4, 15, 255}


def test_vocs_own_masks_and_list_serve_otherwise(voc_root: Root) -> None:
    source = voc(voc_root(aug=False), "train")
    assert source.stems == ("2007_000000", "2007_000001")
    assert source.labels(1) == {0, 2, 12, 255}


def test_the_augmented_list_needs_the_augmented_masks(voc_root: Root) -> None:
    root = voc_root(aug=False)
    lists = root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    (lists / "train_aug.txt").write_text("2007_000000\n2007_000001\n2008_000002\n", encoding="utf-8")
    assert len(voc(root, "train")) == 2
    (lists / "train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no train list; one of train_aug.txt, trainaug.txt, train.txt"):
        voc(root, "train")


def test_the_released_repositories_lists_are_found(voc_root: Root) -> None:
    base = voc_root() / "VOCdevkit" / "VOC2012"
    (base / "ImageSets" / "Segmentation").rename(base / "splits")
    shutil.rmtree(base / "ImageSets")
    assert [len(voc(base, split)) for split in ("train", "val")] == [3, 2]
    shutil.rmtree(base / "splits")
    with pytest.raises(FileNotFoundError, match=r"Segmentation: no train list; .* is needed there or in splits"):
        voc(base, "train")


def test_lists_of_paths_are_understood(voc_root: Root) -> None:
    root = voc_root(plain=False)
    listing = root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "val.txt"
    listing.write_text("/JPEGImages/2007_000004.jpg /SegmentationClassAug/2007_000004.png\n", encoding="utf-8")
    assert voc(root, "val").stems == ("2007_000004",)


def test_voc_errors_tell_what_is_missing(voc_root: Root, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"elsewhere: no such folder; data.root must be a VOC 2012 folder"):
        voc(tmp_path / "elsewhere", "val")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no VOC 2012 here; looked for JPEGImages in .*VOCdevkit"):
        voc(tmp_path / "empty", "val")
    base = voc_root(plain=False) / "VOCdevkit" / "VOC2012"
    (base / "SegmentationClassAug").rename(base / "Masks")
    with pytest.raises(
        FileNotFoundError, match="no masks; one of the folders SegmentationClassAug or SegmentationClass"
    ):
        voc(base, "val")


def test_real_photographs(shared: Path) -> None:
    root = shared / "data" / "voc_mini"
    if not root.is_dir():
        pytest.skip("the photographs are not here")
    sources = [voc(root, split) for split in ("train", "val")]
    assert [len(source) for source in sources] == [1549, 422]
    for source in sources:
        for index in range(0, len(source), 200):
            pair = source.read(index)
            assert max(pair.image.shape) == 320
            assert source.labels(index) == set(pair.mask.unique().tolist()) <= {*range(21), 255}


# Bad input: each is told with its file and what to do


def without_root(root: Path) -> str:
    root.rename(root.with_name("moved"))
    return r"my data: no such folder; data.root must contain images/, masks/ and classes.txt"


def without_images(root: Path) -> str:
    (root / "images").rename(root / "photos")
    return r"my data: it contains no images/; images/\*.jpg and masks/\*.png are needed"


def without_masks(root: Path) -> str:
    (root / "masks").rename(root / "labels")
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
    return r"train-99.jpg is missing and 1 more; complete the data set, or remove the image from the split file"


def empty_list(root: Path) -> str:
    (root / "train.txt").write_text(" \n\n", encoding="utf-8")
    return r"train.txt: the split is empty; write one file stem per line"


def repeated_stem(root: Path) -> str:
    (root / "train.txt").write_text("train-01\ntrain-00\ntrain-01\n", encoding="utf-8")
    return r"train.txt: train-01 is listed twice; list every image once"


def two_images_of_one_stem(root: Path) -> str:
    Image.open(root / "images" / "train-01.jpg").save(root / "images" / "train-01.png")
    return r"train-01.jpg and train-01.png have the same stem; keep one image per mask"


def too_few_classes(root: Path) -> str:
    (root / "classes.txt").write_text("background\ncat\n", encoding="utf-8")
    return r"classes.txt: 2 names; the background and 2 to 254 classes are needed, one per line"


def too_many_classes(root: Path) -> str:
    (root / "classes.txt").write_text("".join(f"{i}\n" for i in range(256)), encoding="utf-8")
    return r"classes.txt: 256 names; the background and 2 to 254 classes are needed, one per line"


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
        (repeated_stem, ValueError),
        (two_images_of_one_stem, ValueError),
        (too_few_classes, ValueError),
        (too_many_classes, ValueError),
        (no_class_at_all, ValueError),
        (repeated_class, ValueError),
        (gap_in_the_classes, ValueError),
        (classes_in_latin_1, ValueError),
    ],
)
def test_a_broken_folder_is_told(spoil: Callable[[Path], str], kind: type[Exception], folder_root: Root) -> None:
    root = folder_root()
    folder(root, "train")
    message = spoil(root)
    with pytest.raises(kind, match=message):
        folder(root, "train")


def smaller_mask(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 47), np.uint8))
    return r"train-01.jpg has 48 x 40 pixels, but its mask .*train-01.png has 47 x 40; make them equal"


def turned_image(root: Path) -> str:
    path = root / "images" / "train-01.jpg"
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)
    return r"train-01.jpg has 40 x 48 pixels, but its mask .*train-01.png has 48 x 40; .* rotated by its EXIF flag\?"


def mask_of_16_bits(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 48), np.uint16))
    return (
        r"train-01.png: a mask must be a PNG with one 8-bit channel \(grey or palette\), but this is 'PNG I;16'; save"
    )


def mask_of_colours(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 48, 3), np.uint8))
    return r"train-01.png: .* but this is 'PNG RGB'; save the labels in that format \(255 marks ignored pixels\)"


def mask_with_transparency(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 48, 2), np.uint8))
    return r"train-01.png: .* but this is 'PNG LA'"


def mask_of_1_bit(root: Path) -> str:
    """It cannot hold three labels, and readers disagree whether its white is 1 or 255."""
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 48), bool))
    return r"train-01.png: .* but this is 'PNG 1'"


def mask_of_4_bits(root: Path) -> str:
    """Pillow reads its 1 as 17."""
    (root / "masks" / "train-01.png").write_bytes(grey_of_4_bits(np.ones((40, 48), np.uint8)))
    return r"train-01.png: .* but this is 'PNG L;4'"


def mask_that_is_a_jpeg(root: Path) -> str:
    save_mask(root / "masks" / "train-01.png", np.zeros((40, 48), np.uint8), format="JPEG")
    return r"train-01.png: .* but this is 'JPEG L'"


def image_of_16_bits(root: Path) -> str:
    """As RGB, Pillow would make it white."""
    (root / "images" / "train-01.jpg").unlink()
    Image.fromarray(np.full((40, 48), 3000, np.uint16)).save(root / "images" / "train-01.png")
    return (
        r"train-01.png: an image must have 8 bits per channel \(grey .*\), but this is 'PNG I;16'; save it with 8 bits"
    )


def cut_mask(root: Path) -> str:
    cut(root / "masks" / "train-01.png", 0.7)
    return r"train-01.png: damaged or truncated .*; replace the file"


def cut_image(root: Path) -> str:
    cut(root / "images" / "train-01.jpg", 0.6)
    return r"train-01.jpg: damaged or truncated .*; replace the file"


def empty_image(root: Path) -> str:
    (root / "images" / "train-01.jpg").write_bytes(b"")
    return r"train-01.jpg: not a readable image .*; replace the file"


def text_for_a_mask(root: Path) -> str:
    (root / "masks" / "train-01.png").write_text("version https://git-lfs.github.com/spec/v1", encoding="utf-8")
    return r"train-01.png: not a readable image .*; replace the file"


def grey_of_4_bits(values: np.ndarray) -> bytes:
    """A PNG that Pillow cannot write: packed by hand, two pixels a byte."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = values.shape
    rows = b"".join(b"\0" + (row[::2] << 4 | row[1::2]).tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 4, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


SPOILT_PIXELS = (
    smaller_mask,
    turned_image,
    mask_of_16_bits,
    mask_of_colours,
    mask_with_transparency,
    mask_of_1_bit,
    mask_of_4_bits,
    mask_that_is_a_jpeg,
    image_of_16_bits,
    cut_mask,
    cut_image,
    empty_image,
    text_for_a_mask,
)


@pytest.mark.parametrize("verb", ["labels", "read"])
@pytest.mark.parametrize("spoil", SPOILT_PIXELS)
def test_a_broken_pair_is_told(spoil: Callable[[Path], str], verb: str, folder_root: Root) -> None:
    root = folder_root()
    message = spoil(root)
    source = folder(root, "train")
    getattr(source, verb)(0)
    with pytest.raises(ValueError, match=message):
        getattr(source, verb)(1)


@pytest.mark.parametrize("share", np.linspace(0, 0.99, 12))
@pytest.mark.parametrize("name", ["images/train-00.jpg", "masks/train-00.png", "images/train-00.png"])
def test_a_file_cut_anywhere_is_named_or_reads_the_same(name: str, share: float, folder_root: Root) -> None:
    root = folder_root(train=1, val=1)
    if name == "images/train-00.png":
        Image.open(root / "images" / "train-00.jpg").save(root / name)
        (root / "images" / "train-00.jpg").unlink()
    source = folder(root, "train")
    whole = source.read(0)
    cut(root / name, share)
    for verb in ("read", "labels"):
        try:
            found = getattr(source, verb)(0)
        except ValueError as error:
            assert str(root / name) in str(error)  # noqa: PT017  (a cut in what follows the pixels raises nothing)
        else:
            assert share > 0.8
            assert verb == "labels" or all(map(torch.equal, found, whole))


def test_a_label_outside_the_classes_is_told(folder_root: Root) -> None:
    root = folder_root(classes=4)
    (root / "classes.txt").write_text("background\ncat\ndog\n", encoding="utf-8")
    message = (
        r"masks/train-01.png: label 3 is outside the classes, which are 0 to 2; correct the mask \(255 .*\), or add the"
    )
    with pytest.raises(ValueError, match=message):
        folder(root, "train").labels(1)
    with pytest.raises(ValueError, match=message):
        presence_of(folder(root, "train"))


def test_classes_may_be_more_than_the_masks_hold(folder_root: Root) -> None:
    root = folder_root(classes=4)
    (root / "classes.txt").write_text("".join(f"{i}\n" for i in range(255)), encoding="utf-8")
    assert len(folder_classes(root)) == 255
    assert folder(root, "train").labels(0) == {0, 1, 2, 255}


# Labels per image


class Counting(FileSource):
    """Counts how many masks are looked at, and takes its time for each."""

    looked = 0
    pause = 0.0

    def labels(self, index: int) -> frozenset[int]:
        self.looked += 1
        time.sleep(self.pause)
        return super().labels(index)


def counting(root: Path) -> Counting:
    source = folder(root, "train")
    return Counting(source.classes, source.stems, source.images, source.masks)


def plain_table(root: Path) -> np.ndarray:
    stems = (root / "train.txt").read_text(encoding="utf-8").split()
    table = np.zeros((len(stems), 256), bool)
    for index, stem in enumerate(stems):
        for value in truth(root / "masks" / f"{stem}.png").flatten():
            table[index, value] = True
    return table


@pytest.mark.parametrize("threads", [None, 1, 3])
def test_presence_equals_a_loop(threads: int | None, folder_root: Root, tmp_path: Path) -> None:
    root = folder_root(classes=6)
    found = presence_of(folder(root, "train"), tmp_path / "cache", threads)
    assert found.dtype == bool
    assert np.array_equal(found, plain_table(root))


def test_the_second_call_reads_no_mask(folder_root: Root, tmp_path: Path) -> None:
    source = counting(folder_root())
    first = presence_of(source, tmp_path / "cache")
    assert source.looked == 8
    again = counting(folder_root())  # written anew with the same bytes, at another time
    assert np.array_equal(presence_of(source, tmp_path / "cache"), first)
    assert source.looked == 8
    assert np.array_equal(presence_of(again, tmp_path / "cache"), first)
    assert again.looked == 8
    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".npy", ".npy"]


def change_mask(root: Path) -> None:
    path = root / "masks" / "train-05.png"
    before = path.stat()
    save_mask(path, np.full((40, 48), 3, np.uint8))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10))


def change_order(root: Path) -> None:
    stems = (root / "train.txt").read_text(encoding="utf-8").split()
    (root / "train.txt").write_text("\n".join(reversed(stems)), encoding="utf-8")


def add_a_class(root: Path) -> None:
    with open(root / "classes.txt", "a", encoding="utf-8") as file:
        file.write("one more\n")


@pytest.mark.parametrize("change", [change_mask, change_order, add_a_class])
def test_a_change_makes_the_index_anew(change: Callable[[Path], None], folder_root: Root, tmp_path: Path) -> None:
    root = folder_root()
    presence_of(folder(root, "train"), tmp_path / "cache")
    change(root)
    source = counting(root)
    assert np.array_equal(presence_of(source, tmp_path / "cache"), plain_table(root))
    assert source.looked == 8


def test_an_index_of_more_classes_is_no_excuse(folder_root: Root, tmp_path: Path) -> None:
    root = folder_root(classes=5)
    presence_of(folder(root, "train"), tmp_path / "cache")
    (root / "classes.txt").write_text("background\na\nb\n", encoding="utf-8")
    with pytest.raises(ValueError, match="label 3 is outside the classes"):
        presence_of(folder(root, "train"), tmp_path / "cache")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 384,
        b"not numpy",
        b"\x93NUMPY\x01\x00\x76\x00{'descr': '|u1', ",
        b"\x93NUMPY\x01\x00\x04\x00((((",
        b"PK\x03\x04 a broken archive",
    ],
)
def test_a_broken_index_is_made_anew(content: bytes, folder_root: Root, tmp_path: Path) -> None:
    source = counting(folder_root())
    expected = presence_of(source, tmp_path)
    (path,) = tmp_path.glob("presence-*.npy")
    path.write_bytes(content)
    assert np.array_equal(presence_of(source, tmp_path), expected)
    assert source.looked == 16
    presence_of(source, tmp_path)
    assert source.looked == 16


@pytest.mark.parametrize("wrong", [np.zeros((7, 32), np.uint8), np.zeros((8, 32), np.int64), np.zeros(8, np.uint8)])
def test_an_index_of_another_shape_is_made_anew(wrong: np.ndarray, folder_root: Root, tmp_path: Path) -> None:
    source = counting(folder_root())
    expected = presence_of(source, tmp_path)
    (path,) = tmp_path.glob("presence-*.npy")
    np.save(path, wrong)
    assert np.array_equal(presence_of(source, tmp_path), expected)


def test_a_cache_that_cannot_be_written_only_warns(
    folder_root: Root, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    source = counting(folder_root())
    (tmp_path / "a file").write_text("in the way", encoding="utf-8")
    for looked in (8, 16):
        assert presence_of(source, tmp_path / "a file").any()
        assert source.looked == looked
        assert "the table of labels per image is not cached" in capsys.readouterr().out


@pytest.mark.parametrize("threads", [1, 2])
def test_a_bad_file_in_the_middle_is_named_at_once(threads: int, folder_root: Root, tmp_path: Path) -> None:
    root = folder_root(train=60)
    cut(root / "masks" / "train-10.png", 0.7)
    source = counting(root)
    source.pause = 0.01
    with pytest.raises(ValueError, match=r"train-10.png: damaged or truncated"):
        presence_of(source, tmp_path / "cache", threads)
    assert source.looked < 60
    assert not (tmp_path / "cache").exists()


def test_an_interrupted_scan_stops_at_once(folder_root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = counting(folder_root(train=60))
    source.pause = 0.01

    def interrupted(found: Iterator, **options: object) -> Iterator:
        yield next(found)
        raise KeyboardInterrupt

    monkeypatch.setattr(scan, "tqdm", interrupted)
    with pytest.raises(KeyboardInterrupt):
        presence_of(source, tmp_path / "cache", 2)
    assert source.looked < 60


def test_where_the_cache_lies(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_folder() == cache
    monkeypatch.delenv("PLOPKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert cache_folder() == Path("/somewhere/plopkit")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/nobody")
    assert cache_folder() == Path("/home/nobody/.cache/plopkit")
