"""ADE20K: its folders and files, what is missing or wrong, and its scenarios."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from picture_files import write_pair
from PIL import Image

from plopkit.datasets import open_split
from plopkit.datasets.ade20k import ade
from plopkit.datasets.counts import presence
from plopkit.scenario import IGNORE, Scenario
from plopkit.settings import Data
from plopkit.support import resources

LABELS = {"training": [(1, 101), (2, 150), (3, 100)], "validation": [(1, 150), (120, 4)]}


@pytest.fixture
def ade_root(tmp_path: Path) -> Path:
    """A folder that contains ADEChallengeData2016, with three training and two validation images."""
    base = tmp_path / "ADEChallengeData2016"
    for folder, named in LABELS.items():
        for i, labels in enumerate(named):
            stem = f"ADE_{folder[:5].removesuffix('ing')}_{i + 1:08d}"
            image, mask = base / "images" / folder / f"{stem}.jpg", base / "annotations" / folder / f"{stem}.png"
            write_pair(image, mask, labels, (20, 30), i, palette=False)
            values = np.array(Image.open(mask))
            values[values == IGNORE] = 0  # ADE's masks ignore nothing: 0 is everything without a class
            Image.fromarray(values).save(mask)
    (base / "objectInfo150.txt").write_text("Idx\tRatio\tTrain\tVal\tName\n", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("below", ["", "ADEChallengeData2016"])
def test_both_splits_are_read(below: str, ade_root: Path) -> None:
    train, val = (ade(ade_root / below, split) for split in ("train", "val"))
    assert train.stems == ("ADE_train_00000001", "ADE_train_00000002", "ADE_train_00000003")
    assert len(val) == 2
    for source, folder in ((train, "training"), (val, "validation")):
        for index, labels in enumerate(LABELS[folder]):
            assert source.labels(index) == {0, *labels}
            pair = source.read(index)
            assert pair.image.shape == (3, 20, 30)
            assert set(pair.mask.unique().tolist()) == {0, *labels}


def test_hidden_files_are_no_images(ade_root: Path) -> None:
    for place in ("images", "annotations"):
        (ade_root / "ADEChallengeData2016" / place / "training" / "._ADE_train_00000001.jpg").write_bytes(b"\0\5\x16\7")
    assert len(ade(ade_root, "train")) == 3


def test_every_label_has_its_own_name() -> None:
    names = resources.class_names("ade")
    assert len(names) == len(set(names)) == Scenario.parse("ade joint").n_labels == 151
    assert (names[0], names[1], names[13], names[127], names[150]) == ("background", "wall", "person", "animal", "flag")
    assert not any(name != name.strip() or "," in name or not name for name in names)


def test_its_scenarios_select_their_images(ade_root: Path, tmp_path: Path) -> None:
    data = Data(root=ade_root)
    train, val = (presence(open_split("ade", split, data), tmp_path / "cache") for split in ("train", "val"))
    first, second = Scenario.parse("ade 100-50 overlap").steps
    assert first.trains_on(train).tolist() == [True, True, True]
    assert second.trains_on(train).tolist() == [True, True, False]
    assert first.evaluates_on(val).tolist() == [True, True]
    first, second = Scenario.parse("ade 100-50 disjoint").steps
    assert first.trains_on(train).tolist() == [False, False, True]
    # Label 0 is ordinary background: its target is channel 0, and no image is selected because of it.
    assert first.lookup()[0] == second.lookup()[0] == 0


def without(name: str) -> Callable[[Path], None]:
    def spoil(root: Path) -> None:
        (root / "ADEChallengeData2016" / name).rename(root / "moved")

    return spoil


def without_jpegs(root: Path) -> None:
    for path in (root / "ADEChallengeData2016" / "images" / "validation").iterdir():
        path.rename(path.with_suffix(".jp2"))


def label_outside_the_classes(root: Path) -> None:
    path = root / "ADEChallengeData2016" / "annotations" / "validation" / "ADE_valid_00000001.png"
    Image.fromarray(np.full((20, 30), 151, np.uint8)).save(path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("images"), r"no ADE20K here; looked for images/training in .*, .*ADEChallengeData2016"),
        (without("images/validation"), r"images.validation: no such folder; ADE20K has images/ and annotations/"),
        (without("annotations"), r"annotations.validation: no such folder; ADE20K has images/ and annotations/"),
        (without_jpegs, r"validation: it contains no \*.jpg; unpack ADEChallengeData2016.zip again"),
        (without("annotations/validation/ADE_valid_00000002.png"), r"ADE_valid_00000002.png is missing"),
        (label_outside_the_classes, r"ADE_valid_00000001.png: label 151 is outside the classes, which are 0 to 150"),
    ],
)
def test_what_is_missing_or_wrong_is_reported(
    spoil: Callable[[Path], None], message: str, ade_root: Path, tmp_path: Path
) -> None:
    spoil(ade_root)
    with pytest.raises((FileNotFoundError, ValueError), match=message):
        presence(ade(ade_root, "val"), tmp_path / "cache")


def test_a_missing_root_is_reported(tmp_path: Path) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"elsewhere: no such folder; data.root must be an ADEChallengeData2016"
    ):
        ade(tmp_path / "elsewhere", "val")
    with pytest.raises(ValueError, match=r"ade needs data.root"):
        open_split("ade", "val", Data())
