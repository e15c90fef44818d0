"""A run's folder: made and opened again, where there is room and nothing else is in it."""

import errno
import os
import shutil
import tempfile
import types
from pathlib import Path

import pytest
from small_runs import contents, small

from plopkit.runs.opening import check_room, open_folder
from plopkit.settings import to_yaml
from plopkit.support.files import write_text

# Made and opened again


def test_a_folder_is_opened_again_with_the_same_settings(tmp_path: Path) -> None:
    settings = small(tmp_path)
    folder = open_folder(settings, "data")
    assert folder.path == settings.folder()
    assert folder.settings == settings
    before = contents(tmp_path)
    assert open_folder(settings, "data") == folder
    assert open_folder(small(tmp_path, compute__workers=3), "data") == folder
    assert contents(tmp_path) == before
    assert folder.evaluated() == 0


def test_a_name_used_for_other_settings_is_refused_with_the_differences(tmp_path: Path) -> None:
    open_folder(small(tmp_path, name="mine", optim__lr=0.5, hyper__pod=0.5), "data")
    before = contents(tmp_path)
    with pytest.raises(ValueError, match="made with other settings") as raised:
        open_folder(small(tmp_path, name="mine", optim__lr=0.25, seed=3, hyper__pod=0.25), "data")
    message = str(raised.value)
    assert message.startswith(f"{tmp_path / 'mine'}: ")
    differences = (
        "optim.lr was 0.5, and is now 0.25",
        "seed was 0, and is now 3",
        "hyper.pod was 0.5, and is now 0.25",
    )
    for difference in differences:
        assert difference in message
    assert "optim.batch" not in message
    assert "Choose another name or out, or delete it" in message
    assert contents(tmp_path) == before


def test_a_folder_made_from_other_images_or_checkpoints_is_refused(tmp_path: Path) -> None:
    open_folder(small(tmp_path, name="mine"), "train val checkpoints")
    with pytest.raises(ValueError, match=r"mine: the images or masks have changed since this run was made; choose"):
        open_folder(small(tmp_path, name="mine"), "train val-2 checkpoints")
    with pytest.raises(ValueError, match=r"mine: the checkpoints are not those of this run; choose another name"):
        open_folder(small(tmp_path, name="mine"), "train val checkpoints-2")


def test_a_folder_that_is_not_a_runs_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    open_folder(small(tmp_path, name="empty"), "data")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.tex").write_text("years")
    with pytest.raises(ValueError, match="other: not empty, and not a run's folder"):
        open_folder(small(tmp_path, name="other"), "data")
    assert [path.name for path in (tmp_path / "other").iterdir()] == ["thesis.tex"]


def test_a_folder_whose_making_was_interrupted_is_made_again(tmp_path: Path) -> None:
    settings = small(tmp_path, name="mine")
    write_text(tmp_path / "mine" / "data.txt", "older data")
    write_text(tmp_path / "mine" / ".settings.yaml.99.part", "seed")
    assert open_folder(settings, "data").settings == settings
    assert open_folder(settings, "data").path == tmp_path / "mine"


def test_a_damaged_settings_file_is_named(tmp_path: Path) -> None:
    settings = small(tmp_path, name="mine")
    write_text(tmp_path / "mine" / "settings.yaml", to_yaml(settings) + "colour: red\n")
    with pytest.raises(ValueError, match=r"settings\.yaml: not the settings of a run: there is no setting 'colour'"):
        open_folder(settings, "data")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("seed: &a 0\nmethod: *a\n", "not the settings of a run: line 1: anchors and aliases are not read"),
        ("colour: red\n", "not the settings of a run: there is no setting 'colour'"),
        ("#" * 70_000, "70,000 bytes, but a file with the settings of a run has at most 65,536"),
    ],
)
def test_settings_that_cannot_be_read_are_written_again_with_one_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, problem: str
) -> None:
    """The name of the folder says which settings they were."""
    settings = small(tmp_path)
    path = open_folder(settings, "data").settings_file
    path.write_text(text)
    assert open_folder(settings, "data").settings == settings
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"{path}: {problem}") and said.endswith("; written again") and said.count(";") == 1


# Disk space and permissions


def test_free_space_is_checked_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small(tmp_path / "new" / "out")
    check_room(settings, 1)
    assert contents(tmp_path) == {}
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=3 * 2**20))
    check_room(settings, 3 * 2**20)
    with pytest.raises(OSError, match=r"out: 3 MiB are free, this run needs about 4 MiB; free disk space, or .* out"):
        check_room(settings, 4 * 2**20)


def test_files_already_in_the_folder_need_no_more_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small(tmp_path)
    write_text(settings.folder() / "checkpoints" / "step-0.safetensors", 2**20 * "x")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=3 * 2**20))
    check_room(settings, 4 * 2**20)
    with pytest.raises(OSError, match=r"3 MiB are free, this run needs about 4 MiB"):
        check_room(settings, 5 * 2**20)


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"file/out: cannot be written .*; choose another folder with out"):
        check_room(small(tmp_path / "file" / "out"), 1)

    def read_only(dir: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(dir))

    monkeypatch.setattr(tempfile, "TemporaryFile", read_only)  # permissions do not stop root
    with pytest.raises(
        PermissionError, match=r"cannot be written .*Permission denied.*; choose another folder with out"
    ):
        check_room(small(tmp_path / "out"), 1)
