"""PASCAL VOC 2012: its folders, lists and masks."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plopkit.datasets.voc import stems_in, voc
from plopkit.scenario import IGNORE

Root = Callable[..., Path]


@pytest.mark.parametrize("below", ["", "VOCdevkit", "VOCdevkit/VOC2012"])
def test_voc_root_is_the_folder_or_one_that_contains_it(below: str, voc_root: Root) -> None:
    source = voc(voc_root() / below, "val")
    assert source.stems == ("2007_000003", "2007_000004")
    assert source.classes[20] == "tvmonitor"


@pytest.mark.parametrize("name", ["train_aug.txt", "trainaug.txt"])
def test_augmented_masks_and_list_are_preferred(name: str, voc_root: Root) -> None:
    root = voc_root(aug_list=name)
    source = voc(root, "train")
    assert source.stems == ("2007_000000", "2007_000001", "2008_000002")
    assert [source.labels(index) for index in range(3)] == [{0, i + 1, i + 12, IGNORE} for i in range(3)]
    assert voc(root, "val").labels(0) == {0, 4, 15, IGNORE}


def test_vocs_own_masks_and_list_are_used_otherwise(voc_root: Root) -> None:
    source = voc(voc_root(aug=False), "train")
    assert source.stems == ("2007_000000", "2007_000001")
    assert source.labels(1) == {0, 2, 12, IGNORE}


def test_the_augmented_list_needs_the_augmented_masks(voc_root: Root) -> None:
    root = voc_root(aug=False)
    lists = root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation"
    (lists / "train_aug.txt").write_text("2007_000000\n2007_000001\n2008_000002\n", encoding="utf-8")
    assert len(voc(root, "train")) == 2
    (lists / "train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"no train list; one of train_aug.txt, trainaug.txt, train.txt"):
        voc(root, "train")


def test_the_lists_of_the_released_repositories_are_used(voc_root: Root) -> None:
    base = voc_root() / "VOCdevkit" / "VOC2012"
    (base / "ImageSets" / "Segmentation").rename(base / "splits")
    shutil.rmtree(base / "ImageSets")
    assert [len(voc(base, split)) for split in ("train", "val")] == [3, 2]
    shutil.rmtree(base / "splits")
    with pytest.raises(FileNotFoundError, match=r"Segmentation: no train list; .* is needed there or in splits"):
        voc(base, "train")


def test_lists_may_contain_paths(voc_root: Root) -> None:
    root = voc_root(plain=False)
    listing = root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "val.txt"
    listing.write_text("/JPEGImages/2007_000004.jpg /SegmentationClassAug/2007_000004.png\n", encoding="utf-8")
    assert voc(root, "val").stems == ("2007_000004",)


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf2007_000004\r\n\r\n2007_000003 -1\r\n",
        "2007_000004\n2007_000003\n".encode("utf-16"),
        b"# validation\nimage,mask\nJPEGImages/2007_000004.jpg,SegmentationClassAug/2007_000004.png\n2007_000003.jpg\n",
        b"C:\\VOC2012\\JPEGImages\\2007_000004.jpg\n./JPEGImages/2007_000003.jpg\n2007_000004\n",
    ],
)
def test_its_lists_are_read_as_all_others(content: bytes, voc_root: Root) -> None:
    root = voc_root(plain=False)
    (root / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").write_bytes(content)
    source = voc(root, "val")
    assert source.stems == ("2007_000004", "2007_000003")
    assert [source.labels(index) for index in range(2)] == [{0, 5, 16, IGNORE}, {0, 4, 15, IGNORE}]


def test_a_list_of_other_masks_does_not_choose_them(voc_root: Root) -> None:
    """The augmented masks are used, although the list names VOC's own."""
    root = voc_root()
    listing = root / "VOCdevkit" / "VOC2012" / "ImageSets" / "Segmentation" / "val.txt"
    listing.write_text("JPEGImages/2007_000003.jpg SegmentationClass/2007_000003.png\n", encoding="utf-8")
    assert voc(root, "val").labels(0) == {0, 4, 15, IGNORE}


def test_a_missing_image_of_voc_is_named_with_its_line(voc_root: Root) -> None:
    root = voc_root()
    (root / "VOCdevkit/VOC2012/JPEGImages/2007_000004.jpg").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"val.txt: line 2: .*2007_000004.jpg is missing; complete the data set"
    ):
        voc(root, "val")


def test_missing_folders_of_voc_are_named(voc_root: Root, tmp_path: Path) -> None:
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
            assert source.labels(index) == set(pair.mask.unique().tolist()) <= {*range(21), IGNORE}


@pytest.mark.parametrize(
    "text",
    [
        "a\nb\n",
        "# by hand\n/JPEGImages/a.jpg /SegmentationClass/a.png\n/JPEGImages/b.jpg /SegmentationClass/b.png\n",
        "image,mask\na.jpg,a.png\nb.jpg,b.png\n",
        '"a"\r\n"b"\r\n',
    ],
)
def test_stems_in_a_list(text: str, tmp_path: Path) -> None:
    """Read without the files, as a download needs them."""
    (tmp_path / "train.txt").write_bytes(text.encode())
    assert stems_in(tmp_path / "train.txt") == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "message"), [("a\na\n", "a is listed twice"), ("\n", "the split is empty"), ("a\n,\n", "line 2 names")]
)
def test_lists_without_stems_are_refused(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        stems_in(tmp_path / "train.txt")
