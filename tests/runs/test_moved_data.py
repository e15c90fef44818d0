"""Data that move are the same data: a run continues with a copy, and says what has changed where it is another one."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from picture_files import read_values, save_mask
from small_folders import NEW, OLD, write_folder
from small_runs import contents, small, ticks_until

from plopkit.datasets.folder import folder as open_folder_of
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.images import Change, images_text
from plopkit.settings import Settings, digest

pytestmark = pytest.mark.usefixtures("no_pictures")


def settings_of(root: Path, out: Path) -> Settings:
    return small(out, "folder 2-2 overlap", data__root=root, optim__batch=2)


def test_a_run_goes_on_with_a_copy_elsewhere(tmp_path: Path) -> None:
    root = write_folder(tmp_path / "data", OLD, NEW)
    straight = run(settings_of(root, tmp_path / "straight"), progress=False)
    stopped = Experiment.open(settings_of(root, tmp_path / "runs"))
    ticks_until(stopped, lambda tick: (tick.step, tick.iteration) == (1, 1))
    shutil.move(root, tmp_path / "node")
    for path in (tmp_path / "node").rglob("*"):
        os.utime(path, (1, 1))
    settings = settings_of(tmp_path / "node", tmp_path / "runs")
    assert settings.folder() == stopped.folder.path
    folder = run(settings, progress=False)
    found, expected = contents(folder.path), contents(straight.path)
    other = {"settings.yaml", *(name for name in expected if "ticks" in name)}  # places, and seconds
    assert {name: found[name] for name in found.keys() - other} == {n: expected[n] for n in expected.keys() - other}
    mask = tmp_path / "node" / "masks" / "apple2.png"
    values = read_values(mask)
    save_mask(mask, np.where(values == 3, 4, values).astype(np.uint8))
    with pytest.raises(ValueError, match=r"holds other images or masks \(train: 1 image altered \(apple2\)\)"):
        run(settings)


def test_the_folder_of_an_earlier_version_is_found_and_opened(tmp_path: Path) -> None:
    """It was named after the place of the data as well, and noted the files' places and times."""
    root = write_folder(tmp_path / "data", OLD, NEW)
    settings = settings_of(root, tmp_path / "runs")
    folder = run(settings, progress=False)
    before = contents(folder.path)
    identity = settings.identity() | {"data": settings.identity()["data"] | {"root": str(root)}}
    earlier = folder.path.with_name(folder.path.name.rpartition("_")[0] + f"_{digest(identity)}")
    folder.path.rename(earlier)
    sources = [open_folder_of(root, split) for split in ("train", "val")]
    (earlier / "data.txt").write_text(" ".join(source.earlier_fingerprint for source in sources) + "\n")
    (earlier / ".data.txt.sha256").unlink()
    (earlier / "images.csv").unlink()
    (earlier / ".images.csv.sha256").unlink()
    assert settings.folder() == earlier
    assert run(settings, progress=False).path == earlier
    assert contents(earlier) == before


def test_two_data_sets_do_not_share_a_folder(tmp_path: Path) -> None:
    one = write_folder(tmp_path / "one", OLD, NEW)
    run(settings_of(one, tmp_path / "runs"), progress=False)
    other = write_folder(tmp_path / "two", {split: dict(list(OLD[split].items())[1:]) for split in OLD}, NEW)
    with pytest.raises(ValueError, match=r"1 image removed \(old0\); val: 1 image removed \(old-a\)\); choose another"):
        run(settings_of(other, tmp_path / "runs"))


@pytest.mark.parametrize(
    ("now", "words"),
    [
        ({"a": "1", "b": "2"}, ""),
        ({"b": "2", "a": "1"}, "another order of the images"),
        ({"a": "1", "b": "2", "c": "3"}, "1 image more (c)"),
        ({"b": "3"}, "1 image removed (a) and 1 image altered (b)"),
        ({"a": "1", "b": "2"} | dict.fromkeys("vwxyz", "0"), "5 images more (v, w, x, …)"),
    ],
)
def test_changes_in_words(now: dict[str, str], words: str) -> None:
    assert Change.between({"a": "1", "b": "2"}, now).words() == words


def test_images_that_are_drawn_are_known_as_a_whole(tmp_path: Path) -> None:
    data = Experiment.open(small(tmp_path)).data
    assert images_text(data.train, data.val) == ""
    assert not list(tmp_path.rglob("images.csv"))
