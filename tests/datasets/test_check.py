"""The check of a data set: its report, VOC's known counts against all of its masks, and the command."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from plopkit.cli import main
from plopkit.datasets import check
from plopkit.datasets.check import compare, count, differences, report, voc_presence
from plopkit.datasets.counts import pixels
from plopkit.datasets.tables import classes_table, steps_table
from plopkit.datasets.voc import voc
from plopkit.scenario import N_IDS, Scenario
from plopkit.settings import Data

Root = Callable[..., Path]

# Training images per step, as the released code counts them on all masks; validation images after 10, 11 … 20 classes.
PUBLISHED = {
    "15-1 overlap": (9568, 487, 299, 491, 500, 548),
    "15-1 disjoint": (8437, 378, 299, 420, 500, 548),
    "15-5 overlap": (9568, 2145),
    "15-5 disjoint": (8437, 2145),
    "19-1 overlap": (10410, 548),
    "19-1 disjoint": (10034, 548),
    "10-1 overlap": (6139, 528, 1177, 444, 482, 3898, 487, 299, 491, 500, 548),
    "10-1 disjoint": (3706, 188, 868, 227, 201, 3247, 378, 299, 420, 500, 548),
}

VAL = (869, 893, 1005, 1081, 1140, 1240, 1277, 1329, 1353, 1421, 1449)


@pytest.fixture(scope="module")
def voc_pixels(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    """The labels in each of VOC's 12,031 masks, as if each had one pixel: two (N, 256)."""
    shared: Path = request.getfixturevalue("shared")
    with np.load(shared / "reference" / "voc2012_aug_presence.npz") as file:
        ids, packed = file["ids"], file["classes"]
    train = np.isin(ids, (shared / "reference" / "voc2012_train_aug_ids.txt").read_text().split())
    table = np.zeros((len(ids), N_IDS), np.int32)
    table[:, :21] = np.unpackbits(packed, axis=1)[:, :21]
    return table[train], table[~train]


def test_the_report_lists_every_step_and_class(voc_root: Root) -> None:
    scenario = Scenario.parse("voc 15-5 overlap")
    steps, classes = count(scenario, Data(root=voc_root()))
    first, middle, last = report(scenario, steps, classes).split("\n\n")
    assert first == "voc 15-5 overlap"
    assert len(middle.splitlines()) == 1 + 2
    names, *rows = last.splitlines()
    assert "training pixels" in names
    assert rows.pop().startswith("training: at the step that learns the class; validation: at the last step.")
    assert len(rows) == 21
    assert rows[3].split()[:3] == ["3", "bird", "0"]
    assert rows[16].split()[:3] == ["16", "pottedplant", "1"]
    blocks = report(scenario, steps, classes, every=True).split("\n\n")[2:]
    assert len(blocks) == 2
    for step, block in enumerate(blocks):
        assert len(block.splitlines()) == 1 + (classes["step"] == step).sum()


@pytest.mark.parametrize("protocol", ["overlap", "disjoint", "sequential"])
@pytest.mark.parametrize("task", ["15-1", "15-5", "19-1", "10-1"])
def test_the_known_counts_are_those_of_all_masks(
    task: str, protocol: str, voc_pixels: tuple[np.ndarray, np.ndarray]
) -> None:
    scenario = Scenario.parse(f"voc {task} {protocol}")
    table = steps_table(scenario, *voc_pixels)
    assert compare(scenario, table) == ["images per step: as expected"]
    last = scenario.steps[-1].index
    table.loc[last, "training images"] -= 1
    table.loc[0, "validation images"] += 1
    actual = table.loc[0, "validation images"]
    assert compare(scenario, table) == [
        f"step 0: {actual:,} validation images, expected {actual - 1:,}",
        f"step {last}: {table.loc[last, 'training images']:,} training images, expected "
        f"{table.loc[last, 'training images'] + 1:,}",
    ]


@pytest.mark.parametrize("text", ["emoji 15-5 overlap", "ade 100-50 overlap", "voc 15-5 partitioned"])
def test_no_counts_are_known_elsewhere(text: str) -> None:
    assert compare(Scenario.parse(text), pd.DataFrame()) == []


def test_the_resource_has_the_sets_of_labels_of_all_masks(voc_pixels: tuple[np.ndarray, np.ndarray]) -> None:
    for known, counted in zip(voc_presence(), voc_pixels, strict=True):
        assert (known.shape, known.dtype) == (counted.shape, bool)
        sets = [np.unique(table[:, 1:] > 0, axis=0, return_counts=True) for table in (known, counted)]
        assert all(np.array_equal(*pair) for pair in zip(*sets, strict=True))


@pytest.mark.parametrize(("text", "images"), PUBLISHED.items())
def test_the_resource_gives_the_images_per_step_of_the_released_code(text: str, images: tuple[int, ...]) -> None:
    scenario = Scenario.parse(f"voc {text}")
    table = steps_table(scenario, *voc_presence())
    assert tuple(table["training images"]) == images
    assert tuple(table["validation images"]) == tuple(VAL[step.n_seen - 11] for step in scenario.steps)


def test_all_classes_of_voc_are_counted(voc_pixels: tuple[np.ndarray, np.ndarray]) -> None:
    scenario = Scenario.parse("voc 15-1 overlap")
    names = tuple(map(str, range(21)))
    table = classes_table(scenario, names, *voc_pixels)
    own = table[table["step"] == table["learnt at"]].set_index("label")
    assert own["training images"].to_dict() == {label: int(voc_pixels[0][:, label].sum()) for label in range(1, 21)} | {
        0: int(voc_pixels[0][Scenario.parse("voc 15-1 overlap").steps[0].trains_on(voc_pixels[0] > 0), 0].sum())
    }


def test_the_command_prints_and_writes_the_tables(
    voc_root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = voc_root()
    tables = [pixels(voc(root, split)) > 0 for split in ("train", "val")]
    monkeypatch.setattr(check, "voc_presence", lambda: tables)
    words = ["data", "check", "VOC 10-10 overlapped", "--data.root", str(root), "-o", str(tmp_path / "all.csv")]
    assert main(words) == 0
    output = capsys.readouterr().out
    assert output.startswith("voc 10-10 overlap\n")
    assert "\n\nimages per step: as expected\n\n" in output
    table = pd.read_csv(tmp_path / "all.csv")
    assert table.groupby("step").size().to_dict() == {0: 11, 1: 21}


def test_a_folder_and_emoji_are_checked_too(
    folder_root: Root, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["data", "check", "folder 2-1 overlap", "--data.root", str(folder_root())]) == 0
    output = capsys.readouterr().out
    assert "class 3" in output
    assert "expected" not in output
    steps, _ = count(Scenario.parse("emoji 15-5 overlap"), Data(scenes=20, val_scenes=20, size=32))
    assert (steps["training images"] > 0).all()


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("flags", [[], ["--all"]])
def test_a_step_without_images_is_reported(
    split: str, flags: list[str], folder_root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder_root()  # image 0 contains labels 1 and 2, image 1 contains 2 and 3
    (root / f"{split}.txt").write_text(f"{split}-00\n", encoding="utf-8")
    scenario = "folder 2-1 overlap" if split == "train" else "folder 1-2 overlap order=3,1,2"
    assert main(["data", "check", scenario, "--data.root", str(root), *flags]) == 1
    output = capsys.readouterr().out
    if split == "train":
        assert f"\nerror: {scenario}, step 1: none of the " in output
    else:
        assert (
            f"\nerror: {scenario}, step 0: no validation image contains any of the labels seen so far, (3,);" in output
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["voc 15-7 overlap"], "does not fit"),
        (["voc 15-5 overlap"], "voc needs data.root"),
        (["voc 15-5 overlap", "--data.root", "nowhere"], "nowhere: no such folder"),
        (["nonsense"], "is not a scenario"),
        ([""], "is not a scenario"),
    ],
)
def test_wrong_use_is_reported(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", *words]) == 2
    assert message in capsys.readouterr().err


def test_images_without_a_seen_class_count_where_the_future_is_left_out() -> None:
    scenario = Scenario.parse("voc 15-5 overlap")
    table = steps_table(scenario, *voc_presence(), future="left_out")
    assert table["validation images"].tolist() == [1449, 1449]
    assert differences(scenario, table, "left_out") == []
    assert differences(scenario, table)[0].endswith("1,449 validation images, expected 1,240")
