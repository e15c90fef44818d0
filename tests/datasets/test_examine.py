"""What `plopkit data check` finds, beyond the odd folders: its files, its exit codes, and what it leaves for a run."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from picture_files import truncate

from plopkit.cli import main
from plopkit.datasets import counts
from plopkit.datasets.counts import presence
from plopkit.datasets.examine import examine
from plopkit.datasets.folder import folder
from plopkit.datasets.survey import survey
from plopkit.presets import configure

Root = Callable[..., Path]


def checked(root: Path, *words: str) -> int:
    return main(["data", "check", "folder 2-1 overlap", "--data.root", str(root), *words])


def test_all_files_of_all_findings_are_written(folder_root: Root, tmp_path: Path) -> None:
    root = folder_root()
    for index in range(6):
        truncate(root / "images" / f"train-0{index}.jpg", 0.6)
    assert checked(root, "--findings", str(tmp_path / "all.csv"), "--optim.batch", "2") == 1
    table = pd.read_csv(tmp_path / "all.csv")
    errors = table[table["kind"] == "error"]
    named = errors["file"].str.cat(errors["text"])
    assert all(named.str.contains(f"train-0{index}.jpg", regex=False).any() for index in range(6))
    assert not named.str.contains("train-06.jpg", regex=False).any()


def test_a_small_step_is_an_error_of_the_batch_that_is_named(
    folder_root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder_root()
    message = "folder 2-1 overlap, step 0: this step has 8 training images, fewer than one batch of"
    for words, code, line in (
        ((), 0, f"warning: {message} 16; lower optim.batch"),
        (("--preset", "laptop"), 1, f"error: {message} 16; lower optim.batch"),
        (("--optim.batch", "9"), 1, f"error: {message} 9; lower optim.batch"),
    ):
        assert checked(root, *words) == code
        assert f"\n{line}" in capsys.readouterr().out
    assert checked(root, "--preset", "smoke") == 0


def test_a_folder_that_does_not_exist_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert checked(tmp_path / "nowhere") == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert "nowhere: no such folder" in output.err


def test_differences_from_known_counts_stop_no_run(voc_root: Root, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["data", "check", "voc 10-10 overlap", "--data.root", str(voc_root()), "--optim.batch", "1"]
    assert main(words) == 0
    assert "\nwarning: step 0: 3 training images, expected 6,139\n" in capsys.readouterr().out


def test_every_image_is_looked_at_although_one_is_damaged(folder_root: Root, tmp_path: Path) -> None:
    root = folder_root(train=5)
    whole = survey(folder(root, "train"), tmp_path / "cache")
    truncate(root / "masks" / "train-02.png", 0.6)
    found = survey(folder(root, "train"), tmp_path / "cache")
    assert list(found.errors) == [2]
    assert "train-02.png: damaged or truncated" in found.errors[2]
    others = [0, 1, 3, 4]
    assert np.array_equal(found.rows[others], whole.rows[others])
    assert not found.counts[2].any()
    assert found.digests[2] == b""
    assert whole.errors == {}
    assert len(set(whole.digests)) == 5


def test_a_run_need_not_read_the_masks_again(
    folder_root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = folder(folder_root(), "train")
    expected = presence(source, tmp_path / "one")
    survey(source, tmp_path / "two")
    monkeypatch.setattr(counts, "in_threads", lambda *_: pytest.fail("the masks are read"))
    assert np.array_equal(presence(source, tmp_path / "two"), expected)
    assert len(survey(source, tmp_path / "two").rows) == len(source)


def test_drawn_images_are_examined_too() -> None:
    settings = configure("emoji 15-5 overlap", "ft", "smoke", {"data.size": 32})
    examination = examine(settings)
    assert examination.errors == ()
    assert examination.steps is not None
    assert examination.steps["training images"].gt(0).all()
