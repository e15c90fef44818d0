"""`plopkit data convert`, from the command line to a folder that `data check` reads."""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest
from conversions import array, convert, lines, masks_in, save_image, save_json

from plopkit.cli import main
from plopkit.datasets.convert.conversion import Division
from plopkit.datasets.folder import folder


def source(path: Path, n: int = 12) -> Path:
    """COCO's JSON of n pictures, each with two of three classes."""
    images = [{"id": i, "file_name": f"photo {i}.jpg", "height": 24, "width": 32} for i in range(n)]
    annotations = []
    for i in range(n):
        save_image(path / "photos" / f"photo {i}.jpg", (24, 32))
        for k in range(2):
            x = 2 + 14 * k
            corners = [x, 4, x + 10, 4, x + 10, 20, x, 20]
            annotation = {"id": 2 * i + k, "image_id": i, "category_id": 1 + (i + k) % 3, "segmentation": [corners]}
            annotations.append(annotation | {"iscrowd": 0, "area": 160, "bbox": [x, 4, 10, 16]})
    categories = [{"id": 1 + k, "name": name} for k, name in enumerate(("cat", "dog", "bird"))]
    content = {"images": images, "annotations": annotations, "categories": categories}
    return save_json(path / "instances.json", content)


def test_a_converted_folder_is_read_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, root = source(tmp_path / "in"), tmp_path / "my data"
    assert main(["data", "convert", str(path), "-o", str(root)]) == 0
    printed = capsys.readouterr().out
    assert (
        f"{root}: 10 training and 2 validation pictures (at random, 20% for validation, seed 0), from coco" in printed
    )
    assert "classes: 0 background, 1 cat, 2 dog, 3 bird" in printed
    following = next(line for line in printed.splitlines() if line.startswith("next: plopkit "))
    words = shlex.split(following.removeprefix("next: plopkit "))
    assert main(words) == 0
    assert "10" in capsys.readouterr().out
    sources = [folder(root, split) for split in ("train", "val")]
    assert [len(own) for own in sources] == [10, 2]
    for own in sources:
        for index in range(len(own)):
            assert own.read(index).mask.shape == (24, 32)
            assert own.labels(index) <= {0, 1, 2, 3}


def test_a_second_call_gives_the_same_and_another_choice_replaces_it(tmp_path: Path) -> None:
    path, root = source(tmp_path / "in"), tmp_path / "root"

    def files() -> dict[str, bytes]:
        return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}

    convert(path, root=root)
    first = files()
    convert(path, root=root)
    assert files() == first
    convert(path, root=root, division=Division(0.5, seed=3))
    assert len(lines(root / "val.txt")) == 6
    assert {name for name, content in files().items() if first[name] != content} == {
        "train.txt",
        "val.txt",
        "converted.json",
    }
    facts = json.loads((root / "converted.json").read_text(encoding="utf-8"))
    assert facts["format"] == "coco"
    assert facts["divided"] == "at random, 50% for validation, seed 3"


def test_a_list_for_validation(tmp_path: Path) -> None:
    path, root = source(tmp_path / "in", 4), tmp_path / "root"
    chosen = tmp_path / "val.txt"
    chosen.write_text("photo 2\nphotos/photo 1.jpg\n", encoding="utf-8")
    assert main(["data", "convert", str(path), "-o", str(root), "--val-list", str(chosen)]) == 0
    assert lines(root / "val.txt") == ["photo 1", "photo 2"]
    assert lines(root / "train.txt") == ["photo 0", "photo 3"]


def test_a_root_within_the_source(tmp_path: Path) -> None:
    source(tmp_path, 4)
    for _ in range(2):
        convert(tmp_path, root=tmp_path / "root")
    assert len(masks_in(tmp_path / "root")) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--val", "1.5"], "--val 1.5 is no share"),
        (["--val", "nan"], "--val nan is no share"),
        (["--columns", "image"], "--columns 'image' must be two names"),
        (["--images", "nowhere"], "nowhere: no such folder"),
        (["--format", "yolo"], "invalid choice: 'yolo'"),
        (["--val-list", "nowhere.txt"], "nowhere.txt"),
    ],
)
def test_wrong_words_are_explained(
    tmp_path: Path, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["data", "convert", str(source(tmp_path, 2)), "-o", str(tmp_path / "root"), *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_one_class_is_learnt_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(2):
        save_image(tmp_path / "images" / f"{i}.jpg", (2, 2))
        save_image(tmp_path / "masks" / f"{i}.png", pixels=array("01 10") * np.uint8(255))
    assert main(["data", "convert", str(tmp_path), "-o", str(tmp_path / "root"), "--binary", "crack"]) == 0
    assert 'next: plopkit data check "folder joint" --data.root' in capsys.readouterr().out


def test_help_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "convert", "--help"]) == 0
    assert len(capsys.readouterr().out.splitlines()) < 25


def test_a_full_disk_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import errno

    from plopkit.datasets.convert import conversion

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(conversion, "write_mask", full)
    with pytest.raises(OSError, match=r"root: cannot be written \(No space left on device\); free disk space"):
        convert(source(tmp_path / "in", 2), root=tmp_path / "root")
    assert not (tmp_path / "root").exists()
