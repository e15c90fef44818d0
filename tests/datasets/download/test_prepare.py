"""Data sets made ready from small archives with the published layout."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from downloads import BYTES, PALETTE, VOC_BASE, Server, ade_files, mat, packed, png, sbd_files, voc_files, write
from PIL import Image
from small_runs import contents

from plopkit.cli import main
from plopkit.datasets.download.prepare import RELEASES, Release, get, ids_digest, release_from, verify
from plopkit.datasets.download.sbd import read_mat
from plopkit.datasets.voc import voc
from plopkit.scenario import IGNORE


def labels(root: Path) -> dict[str, set[int]]:
    """The labels of each augmented mask."""
    masks = sorted((root / VOC_BASE / "SegmentationClassAug").iterdir())
    return {path.stem: set(np.unique(np.asarray(Image.open(path))).tolist()) for path in masks}


AUGMENTED = {"a": {1, IGNORE}, "b": {2, IGNORE}, "c": {3, IGNORE}, "d": {4, IGNORE}, "e": {0, 12}, "f": {0, 13}}


def test_voc_is_made_from_two_archives(small: dict[str, Release], server: Server, tmp_path: Path) -> None:
    message = get("voc", tmp_path, small["voc"])
    assert message == f"{tmp_path}: 4 training and 2 validation images, as expected"
    assert labels(tmp_path) == AUGMENTED
    base = tmp_path / VOC_BASE
    for stem in "abcd":  # VOC's own masks are copied byte for byte
        name = f"{stem}.png"
        assert (base / "SegmentationClassAug" / name).read_bytes() == (base / "SegmentationClass" / name).read_bytes()
    picture = Image.open(base / "SegmentationClassAug" / "e.png")
    assert picture.mode == "P"
    assert picture.getpalette()[: 3 * 13] == PALETTE[: 3 * 13]
    assert (base / "ImageSets" / "Segmentation" / "train_aug.txt").read_text() == "a\nb\ne\nf\n"
    assert voc(tmp_path, "train").stems == ("a", "b", "e", "f")
    assert voc(tmp_path, "train").labels(2) == {0, 12}
    assert voc(tmp_path, "val").stems == ("c", "d")
    assert [path for path, _ in server.requests] == ["/VOCtrainval_11-May-2012.tar", "/benchmark.tgz"]
    left = {path.split("/")[0] for path in contents(tmp_path)}
    assert left == {"VOCdevkit", "VOCtrainval_11-May-2012.tar", "benchmark.tgz", "benchmark_RELEASE"}
    assert not (tmp_path / "benchmark_RELEASE" / "dataset" / "img").exists()
    before = contents(tmp_path)
    assert get("voc", tmp_path, small["voc"]) == message
    assert contents(tmp_path) == before
    assert len(server.requests) == 2


def test_existing_archives_are_used(small: dict[str, Release], server: Server, tmp_path: Path) -> None:
    for archive in (*small["voc"].archives.values(), *small["ade"].archives.values()):
        (tmp_path / archive.name).write_bytes(server.files[f"/{archive.name}"])
    get("voc", tmp_path, small["voc"])
    get("ade", tmp_path, small["ade"])
    assert server.requests == []
    assert labels(tmp_path) == AUGMENTED


@pytest.mark.parametrize("below", ["", "VOCdevkit", VOC_BASE])
def test_existing_folders_are_used(below: str, small: dict[str, Release], server: Server, tmp_path: Path) -> None:
    write(voc_files(), tmp_path)
    write(sbd_files(), tmp_path / below)
    get("voc", tmp_path / below, small["voc"])
    assert server.requests == []
    assert labels(tmp_path) == AUGMENTED


def test_an_unpacked_voc_needs_sbd_only(small: dict[str, Release], server: Server, tmp_path: Path) -> None:
    write(voc_files(), tmp_path)
    get("voc", tmp_path, small["voc"])
    assert [path for path, _ in server.requests] == ["/benchmark.tgz"]


@pytest.mark.parametrize("listed", ["train_aug.txt", "trainaug.txt", None])
def test_existing_augmented_masks_need_no_sbd(
    listed: str | None, small: dict[str, Release], server: Server, tmp_path: Path
) -> None:
    """Many users have them from elsewhere, with a list of either name or none."""
    masks = {f"{VOC_BASE}/SegmentationClassAug/{stem}.png": png(5) for stem in "abcdef"}
    lists = {f"{VOC_BASE}/ImageSets/Segmentation/{listed}": b"a\nb\ne\nf\n"} if listed else {}
    write(voc_files() | masks | lists, tmp_path)
    before = contents(tmp_path)
    get("voc", tmp_path, small["voc"])
    assert server.requests == []
    after = contents(tmp_path)
    assert {name: after[name] for name in before} == before
    assert len(after) - len(before) == (listed is None)


def test_missing_masks_are_added(small: dict[str, Release], server: Server, tmp_path: Path) -> None:
    get("voc", tmp_path, small["voc"])
    masks = tmp_path / VOC_BASE / "SegmentationClassAug"
    (masks / "e.png").unlink()
    (masks / "a.png").write_bytes(png(9))
    get("voc", tmp_path, small["voc"])
    assert labels(tmp_path) == AUGMENTED | {"a": {9, IGNORE}}  # what exists is left alone
    assert len(server.requests) == 2


LISTS = ["ImageSets/Segmentation/train_aug.txt", "ImageSets/Segmentation/trainaug.txt", "splits/train_aug.txt"]


@pytest.mark.parametrize("name", LISTS)
def test_the_users_own_list_is_kept(name: str, small: dict[str, Release], server: Server, tmp_path: Path) -> None:
    masks = {f"{VOC_BASE}/SegmentationClassAug/{stem}.png": png(5) for stem in "acdf"}
    write(voc_files() | masks | {f"{VOC_BASE}/{name}": b"f x\nb\na\n"}, tmp_path)
    before = contents(tmp_path)
    with pytest.raises(
        ValueError, match=rf"{name}: its 3 images are not the 4 published ones, .*; add these masks, or move the"
    ):
        get("voc", tmp_path, small["voc"])
    assert contents(tmp_path) == before
    assert server.requests == []
    reordered = b"f x\nb\na\ne\n"  # the published images in another order
    write({f"{VOC_BASE}/{name}": reordered}, tmp_path)
    get("voc", tmp_path, small["voc"])
    assert (tmp_path / VOC_BASE / name).read_bytes() == reordered
    assert voc(tmp_path, "train").stems == ("f", "b", "a", "e")


def test_interrupted_masks_are_resumed_and_never_used_incomplete(small: dict[str, Release], tmp_path: Path) -> None:
    write(voc_files() | sbd_files(), tmp_path)
    broken = tmp_path / "benchmark_RELEASE" / "dataset" / "cls" / "f.mat"
    content = broken.read_bytes()
    broken.write_bytes(content[:150])
    with pytest.raises(ValueError, match=r"f.mat: not a readable SBD mask .*; unpack benchmark.tgz again"):
        get("voc", tmp_path, small["voc"])
    base = tmp_path / VOC_BASE
    assert not (base / "SegmentationClassAug").exists()
    assert voc(tmp_path, "train").stems == ("a", "b")  # VOC alone, as before
    times = {path: path.stat().st_mtime_ns for path in (base / "SegmentationClassAug.part").glob("*.png")}
    assert times
    broken.write_bytes(content)
    get("voc", tmp_path, small["voc"])
    assert labels(tmp_path) == AUGMENTED
    assert not (base / "SegmentationClassAug.part").exists()
    for path, time in times.items():
        assert (base / "SegmentationClassAug" / path.name).stat().st_mtime_ns == time


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cls/e.mat", None, "e.mat is missing, although SBD's lists name it"),
        ("cls/e.mat", b"", "e.mat: not a readable SBD mask"),
        ("cls/e.mat", mat(21), "e.mat: not an SBD mask, which has 8-bit labels from 0 to 20"),
        (
            "cls/e.mat",
            mat(1, height=9),
            r"e.jpg has 12 x 10 pixels, but SBD's mask e.mat has 12 x 9; restore the image",
        ),
        ("val.txt", None, "val.txt is missing, although its archive contains it"),
        (f"../../{VOC_BASE}/JPEGImages/e.jpg", None, "e.jpg is missing, although VOC's archive contains it"),
        (f"../../{VOC_BASE}/SegmentationClass/a.png", None, "a.png is missing, although VOC's archive contains it"),
        (f"../../{VOC_BASE}/ImageSets/Segmentation/val.txt", None, "val.txt is missing"),
    ],
)
def test_what_is_broken_or_missing_in_sbd_or_voc_is_named(
    name: str, content: bytes | None, message: str, small: dict[str, Release], tmp_path: Path
) -> None:
    write(voc_files() | sbd_files(), tmp_path)
    path = tmp_path / "benchmark_RELEASE" / "dataset" / name
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        get("voc", tmp_path, small["voc"])


def test_a_mask_of_sbd_is_an_array_of_labels(tmp_path: Path) -> None:
    (tmp_path / "a.mat").write_bytes(mat(7))
    values = read_mat(tmp_path / "a.mat")
    assert values.dtype == np.uint8
    assert values.tolist() == [[0, 0, 0, *[7] * 9]] * 10


def test_ade_is_made_from_one_archive(small: dict[str, Release], server: Server, tmp_path: Path) -> None:
    server.breaks = [700]
    assert get("ade", tmp_path, small["ade"]).endswith("2 training and 1 validation images, as expected")
    assert {name: content for name, content in contents(tmp_path).items() if "/" in name} == ade_files()
    get("ade", tmp_path / "ADEChallengeData2016", small["ade"])
    assert len(server.requests) == 2


def test_a_folder_in_the_way_is_reported_before_the_download(
    small: dict[str, Release], server: Server, tmp_path: Path
) -> None:
    (tmp_path / VOC_BASE).mkdir(parents=True)
    with pytest.raises(
        FileExistsError, match=r"VOC2012 exists, but VOCtrainval.* is to be unpacked there; complete it, or move"
    ):
        get("voc", tmp_path, small["voc"])
    assert server.requests == []


def test_wrong_counts_are_reported(small: dict[str, Release], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="voc is not complete") as error:
        get("voc", tmp_path, replace(small["voc"], train=10_582, val=3))
    assert str(error.value) == (
        f"{tmp_path}: voc is not complete:\n  the split train has 4 images, expected 10,582\n"
        "  the split val has 2 images, expected 3"
    )
    with pytest.raises(ValueError, match="split train has 4 images, but not the published ones"):
        get("voc", tmp_path, replace(small["voc"], train_ids=ids_digest("abeg")))
    get("ade", tmp_path, small["ade"])
    (tmp_path / "ADEChallengeData2016/annotations/validation/ADE_val_00000001.png").unlink()
    (tmp_path / "ADEChallengeData2016/images/training/ADE_train_00000001.jpg").unlink()
    first, second = verify("ade", tmp_path, small["ade"])
    assert first == "the split train has 1 images, expected 2"
    assert re.search(r"ADE_val_00000001.png is missing; ", second)


def test_archives_may_come_from_other_urls(small: dict[str, Release]) -> None:
    release = release_from("voc", {"sbd": "http://mirror/b.tgz"})
    assert release.archives["voc"] == small["voc"].archives["voc"]
    assert release.archives["sbd"] == replace(small["voc"].archives["sbd"], url="http://mirror/b.tgz")
    loose = release_from("voc", {}, any_archive=True).archives["voc"]
    assert (loose.size, loose.checksum, loose.url) == (None, None, small["voc"].archives["voc"].url)
    with pytest.raises(ValueError, match=r"ade has no archive 'sbd'; possible: --url.ade"):
        release_from("ade", {"sbd": "http://mirror"})


def test_the_releases_are_the_published_ones(shared: Path) -> None:
    ids = (shared / "reference" / "voc2012_train_aug_ids.txt").read_text().split()
    assert (len(ids), ids_digest(ids)) == (RELEASES["voc"].train, RELEASES["voc"].train_ids)
    assert (RELEASES["voc"].val, RELEASES["ade"].train, RELEASES["ade"].val) == (1449, 20210, 2000)
    for release in RELEASES.values():
        for word, archive in release.archives.items():
            assert archive.flag == f"--url.{word}"
            assert archive.url.endswith(f"/{archive.name}")
            assert re.fullmatch("md5:[0-9a-f]{32}", archive.checksum or "")


def test_the_command_downloads_a_data_set(
    small: dict[str, Release], server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "get", "voc", "--root", str(tmp_path / "voc")]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'voc'}: 4 training and 2 validation images, as expected\n"
    flags = ["data", "get", "ade", "--root", str(tmp_path / "ade"), "--url.ade", f"{server.url}/elsewhere.zip"]
    assert main(flags) == 2
    assert "elsewhere.zip: the server responds 404 Not Found; set another URL with --url" in capsys.readouterr().err
    server.files["/elsewhere.zip"] = packed(ade_files() | {"ADEChallengeData2016/more": BYTES}, "a.zip")
    assert main(flags) == 2
    assert "expected" in capsys.readouterr().err
    assert main([*flags, "--any-archive"]) == 0
    assert main(["data", "get", "ade", "--root", str(tmp_path), "--url.sbd", "http://mirror"]) == 2
    assert "ade has no archive 'sbd'" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["data"], ["data", "get"], ["data", "get", "coco"], ["data", "get", "voc"]])
def test_wrong_use_is_reported(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    assert "usage: plopkit data" in capsys.readouterr().err


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root can write everywhere")
def test_a_folder_that_is_not_writable_is_reported(small: dict[str, Release], tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(
        OSError, match=r"cannot be read or written \(Permission denied\).* choose another folder with --root"
    ):
        get("ade", tmp_path, small["ade"])
    tmp_path.chmod(0o700)


def test_a_path_that_is_not_writable_is_reported_to_root_too(small: dict[str, Release], tmp_path: Path) -> None:
    (tmp_path / "ADEChallengeData2016.zip.part").mkdir()
    with pytest.raises(
        OSError, match=r"zip.part: cannot be read or written \(Is a directory\); .* another folder with --root"
    ):
        get("ade", tmp_path, small["ade"])
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(
        OSError, match=r"below: cannot be read or written \(Not a directory\); .* another folder with --root"
    ):
        get("ade", tmp_path / "file" / "below", small["ade"])
