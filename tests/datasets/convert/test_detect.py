"""Formats are found by content."""

from pathlib import Path

import pytest
from conversions import convert, save_image, save_json

from plopkit.datasets.convert.conversion import READERS
from plopkit.datasets.convert.detect import FORMATS, detect

COCO = {"images": [], "annotations": [], "categories": []}
PANOPTIC = COCO | {"annotations": [{"segments_info": []}]}
LABELME = {"shapes": [], "imagePath": "a.jpg"}
TASKS = [{"id": 1, "data": {}, "annotations": []}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [(COCO, "coco"), (PANOPTIC, "coco-panoptic"), (LABELME, "labelme"), (TASKS, "label-studio")],
)
def test_json_files_alone_and_in_a_folder(tmp_path: Path, content: object, expected: str) -> None:
    path = save_json(tmp_path / "deep" / "folder" / "export.JSON", content)
    save_json(tmp_path / "other.json", {"name": "package", "version": 1})
    save_json(tmp_path / ".hidden.json", TASKS)
    assert detect([path]).format == expected
    assert detect([tmp_path]).format == expected
    assert path in detect([tmp_path]).files


def test_several_formats_are_not_guessed(tmp_path: Path) -> None:
    save_json(tmp_path / "instances.json", COCO)
    save_json(tmp_path / "panoptic.json", PANOPTIC)
    with pytest.raises(
        ValueError, match=r"several formats fit \(coco: instances\.json; coco-panoptic: panoptic\.json\).*--format"
    ):
        detect([tmp_path])
    assert list(detect([tmp_path], "coco").files) == [tmp_path / "instances.json"]


def test_a_chosen_format_without_files(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no file of annotations in the format label-studio"):
        convert(tmp_path, root=tmp_path / "root", format="label-studio")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("export.zip", "an archive; unpack it"),
        ("other.json", "neither COCO's JSON nor an export of Label Studio or labelme"),
        ("broken.json", "not JSON .*; export it again"),
        ("latin.json", "not UTF-8 text"),
        ("ann.json", "one picture of a Supervisely project; name the project's folder"),
        ("image.jpg", r"a folder, \.json or \.xml is needed"),
        ("folder", "no known format was found; known: coco, coco-panoptic"),
    ],
)
def test_what_is_none_is_said(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "export.zip").write_bytes(b"PK")
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    (tmp_path / "latin.json").write_bytes(b'{"a": "\xe4"}')
    save_json(tmp_path / "other.json", {"a": 1})
    save_json(tmp_path / "ann.json", {"size": {}, "objects": []})
    save_image(tmp_path / "image.jpg")
    with pytest.raises(ValueError, match=message):
        detect([tmp_path / name])


def test_missing_sources_and_formats(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such file or folder; .*--format huggingface"):
        detect([tmp_path / "nothing"])
    with pytest.raises(ValueError, match=r"there is no format 'cocoo' .*did you mean coco"):
        detect([tmp_path], "cocoo")
    with pytest.raises(ValueError, match="one folder, or one or several files"):
        detect([tmp_path, tmp_path])


def test_a_converted_folder_in_the_source_is_not_read(tmp_path: Path) -> None:
    save_json(tmp_path / "a.json", LABELME)
    save_json(tmp_path / "made" / "converted.json", {"files": {}})
    save_json(tmp_path / "made" / "other.json", COCO)
    assert detect([tmp_path]).format == "labelme"


def test_every_format_has_a_reader_and_is_offered() -> None:
    from plopkit.commands import convert

    assert set(READERS) == set(FORMATS)
    assert ("auto", *FORMATS) == convert.FORMATS
