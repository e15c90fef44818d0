"""Images and pixels per step and class, against plain loops; VOC's known counts, against all of its masks."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from plopkit.cli import main
from plopkit.datasets import check, counts
from plopkit.datasets.check import compare, count, report, voc_presence
from plopkit.datasets.counts import pixels
from plopkit.datasets.folder import folder
from plopkit.datasets.tables import classes_table, hidden_table, steps_table
from plopkit.datasets.voc import voc
from plopkit.scenario import Scenario
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
    """As if every label that one of VOC's 12,031 masks has, had one pixel there: two (N, 256)."""
    shared: Path = request.getfixturevalue("shared")
    with np.load(shared / "reference" / "voc2012_aug_presence.npz") as file:
        ids, packed = file["ids"], file["classes"]
    train = np.isin(ids, (shared / "reference" / "voc2012_train_aug_ids.txt").read_text().split())
    table = np.zeros((len(ids), 256), np.int32)
    table[:, :21] = np.unpackbits(packed, axis=1)[:, :21]
    return table[train], table[~train]


# Pixels


def test_pixels_are_counted_and_kept(folder_root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = folder_root(train=5, val=1)
    source = folder(root, "train")
    table = pixels(source, tmp_path / "cache")
    assert (table.shape, table.dtype) == ((5, 256), np.int32)
    for index in range(5):
        values = np.array(Image.open(root / "masks" / f"train-0{index}.png"))
        assert table[index].tolist() == [int((values == label).sum()) for label in range(256)]
    monkeypatch.setattr(counts, "_count", None)  # from here on, nothing is counted
    assert np.array_equal(pixels(source, tmp_path / "cache"), table)


@pytest.mark.parametrize("content", [b"", b"not numpy", b"PK\x03\x04 broken"])
def test_broken_counts_are_made_anew(content: bytes, folder_root: Root, tmp_path: Path) -> None:
    source = folder(folder_root(train=2, val=1), "train")
    expected = pixels(source, tmp_path)
    (path,) = tmp_path.glob("pixels-*.npz")
    path.write_bytes(content)
    assert np.array_equal(pixels(source, tmp_path), expected)
    np.savez(path, pixels=expected[:1])
    assert np.array_equal(pixels(source, tmp_path), expected)


def test_a_cache_that_cannot_be_written_only_warns(
    folder_root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a file").write_text("in the way", encoding="utf-8")
    assert pixels(folder(folder_root(train=1, val=1), "train"), tmp_path / "a file").any()
    assert "the pixel counts are not cached" in capsys.readouterr().out


@pytest.mark.parametrize("threads", [1, 2])
def test_bad_files_are_named(threads: int, folder_root: Root, tmp_path: Path) -> None:
    root = folder_root(train=6)
    Image.fromarray(np.full((40, 48), 9, np.uint8)).save(root / "masks" / "train-02.png")
    with pytest.raises(ValueError, match=r"train-02.png: label 9 is outside the classes, which are 0 to 3"):
        pixels(folder(root, "train"), tmp_path / "cache", threads)
    path = root / "images" / "train-01.jpg"
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ValueError, match=r"train-01.jpg: damaged or truncated"):
        pixels(folder(root, "train"), tmp_path / "cache", threads)


# Tables


@pytest.mark.parametrize("text", ["folder 2-1 overlap", "folder 2-1 disjoint", "folder 1-2 sequential"])
def test_the_tables_are_those_of_plain_loops(text: str, folder_root: Root) -> None:
    root = folder_root(train=7, val=3)
    scenario, steps, classes = count(text, Data(root=root))
    masks = {
        split: [np.array(Image.open(path)) for path in sorted((root / "masks").glob(f"{split}-*.png"))]
        for split in ("train", "val")
    }
    rows = iter(classes.to_dict("records"))
    for step in scenario.steps:
        used = [mask for mask in masks["train"] if step.uses(set(np.unique(mask)))]
        seen = [mask for mask in masks["val"] if set(np.unique(mask)) & set(step.seen) - {0}]
        assert steps.loc[step.index].tolist() == [len(set(step.new) - {0}), len(used), len(seen)]
        for label in step.seen:
            asked = label in (step.seen if step.protocol == "sequential" else step.new)
            shown = [mask == label for mask in used if asked and (mask == label).any()]
            tested = [mask == label for mask in seen if (mask == label).any()]
            assert next(rows) == {
                "step": step.index,
                "label": label,
                "name": "background" if label == 0 else f"class {label}",
                "learnt at": next(s.index for s in scenario.steps if label in s.new),
                "training images": len(shown),
                "training pixels": sum(int(mask.sum()) for mask in shown),
                "validation images": len(tested),
                "validation pixels": sum(int(mask.sum()) for mask in tested),
            }
    assert next(rows, None) is None


@pytest.mark.parametrize("protocol", ["overlap", "disjoint", "sequential"])
@pytest.mark.parametrize("task", ["2-2", "3-1 order=b"])
def test_what_the_background_hides_is_that_of_plain_loops(task: str, protocol: str) -> None:
    task, _, order = task.partition(" ")
    scenario = Scenario.parse(f"folder {task} {protocol} {order.replace('b', '3,1,4,2')}".strip(), 5)
    rng = np.random.default_rng(3)
    masks = rng.choice([0, 1, 2, 3, 4, 255], (40, 9)) * rng.integers(0, 2, (40, 1))
    masks[:30] = np.where(np.isin(masks[:30], [1, 3]), 0, masks[:30])
    table = np.array([[(mask == label).sum() for label in range(256)] for mask in masks])
    found = hidden_table(scenario, table)
    for step in scenario.steps:
        hidden = {"background": 0, "old": 0, "future": 0}
        for mask in (mask for mask in masks.tolist() if step.uses(set(mask))):
            for label in mask:
                if step.lookup(step.labelled)[label] == 0:
                    kind = "background" if label == 0 else "old" if label in step.old else "future"
                    hidden[kind] += 1
        wanted = {kind: 100 * count / sum(hidden.values()) for kind, count in hidden.items()}
        assert found.loc[step.index].to_dict() == pytest.approx(wanted)
        assert (wanted["future"] > 0) == (protocol == "overlap" and bool(step.future))
        assert (wanted["old"] > 0) == (protocol != "sequential" and step.index > 0)


def test_the_report_has_every_step_and_class(voc_root: Root) -> None:
    scenario, steps, classes = count("voc 15-5 overlap", Data(root=voc_root()))
    first, middle, last, known = report(scenario, steps, classes).split("\n\n")
    assert first == "voc 15-5 overlap"
    assert len(middle.splitlines()) == 1 + 2
    names, *rows = last.splitlines()
    assert "training pixels" in names
    assert rows.pop().startswith("training: at the step that learns the class; validation: at the last step.")
    assert len(rows) == 21
    assert rows[3].split()[:3] == ["3", "bird", "0"]
    assert rows[16].split()[:3] == ["16", "pottedplant", "1"]
    assert known.startswith("step 0: 3 training images, known are 9,568\n")
    assert len(known.splitlines()) == 5
    assert known.splitlines()[4].startswith("step 1: no training images, but a run needs some at every step; add")
    blocks = report(scenario, steps, classes, every=True).split("\n\n")[2:4]
    for step, block in enumerate(blocks):
        assert len(block.splitlines()) == 1 + (classes["step"] == step).sum()


# VOC's known counts


@pytest.mark.parametrize("protocol", ["overlap", "disjoint", "sequential"])
@pytest.mark.parametrize("task", ["15-1", "15-5", "19-1", "10-1"])
def test_the_known_counts_are_those_of_all_masks(
    task: str, protocol: str, voc_pixels: tuple[np.ndarray, np.ndarray]
) -> None:
    scenario = Scenario.parse(f"voc {task} {protocol}")
    table = steps_table(scenario, *voc_pixels)
    assert compare(scenario, table) == ["images per step: as known"]
    last = scenario.steps[-1].index
    table.loc[last, "training images"] -= 1
    table.loc[0, "validation images"] += 1
    found = table.loc[0, "validation images"]
    assert compare(scenario, table) == [
        f"step 0: {found:,} validation images, known are {found - 1:,}",
        f"step {last}: {table.loc[last, 'training images']:,} training images, known are "
        f"{table.loc[last, 'training images'] + 1:,}",
    ]


@pytest.mark.parametrize("text", ["emoji 15-5 overlap", "ade 100-50 overlap"])
def test_elsewhere_nothing_is_known(text: str) -> None:
    assert compare(Scenario.parse(text), pd.DataFrame()) == []


def test_the_facts_hold_the_sets_of_labels_of_all_masks(voc_pixels: tuple[np.ndarray, np.ndarray]) -> None:
    for known, counted in zip(voc_presence(), voc_pixels, strict=True):
        assert (known.shape, known.dtype) == (counted.shape, bool)
        sets = [np.unique(table[:, 1:] > 0, axis=0, return_counts=True) for table in (known, counted)]
        assert all(np.array_equal(*pair) for pair in zip(*sets, strict=True))


@pytest.mark.parametrize(("text", "images"), PUBLISHED.items())
def test_the_facts_give_the_images_per_step_of_the_released_code(text: str, images: tuple[int, ...]) -> None:
    scenario = Scenario.parse(f"voc {text}")
    table = steps_table(scenario, *voc_presence())
    assert tuple(table["training images"]) == images
    assert tuple(table["validation images"]) == tuple(VAL[step.n_seen - 11] for step in scenario.steps)


def test_all_of_vocs_classes_are_counted(voc_pixels: tuple[np.ndarray, np.ndarray]) -> None:
    scenario = Scenario.parse("voc 15-1 overlap")
    names = tuple(map(str, range(21)))
    table = classes_table(scenario, names, *voc_pixels)
    own = table[table["step"] == table["learnt at"]].set_index("label")
    assert own["training images"].to_dict() == {label: int(voc_pixels[0][:, label].sum()) for label in range(1, 21)} | {
        0: int(voc_pixels[0][Scenario.parse("voc 15-1 overlap").steps[0].trains_on(voc_pixels[0] > 0), 0].sum())
    }


# The command line


def test_the_command_prints_and_writes_the_tables(
    voc_root: Root, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    root = voc_root()
    tables = [pixels(voc(root, split)) > 0 for split in ("train", "val")]
    monkeypatch.setattr(check, "voc_presence", lambda: tables)
    words = ["data", "check", "VOC 10-10 overlapped", "--data.root", str(root), "-o", str(tmp_path / "all.csv")]
    assert main(words) == 0
    told = capsys.readouterr()
    assert told.out.startswith("voc 10-10 overlap\n")
    assert told.out.endswith("\n\nimages per step: as known\n")
    table = pd.read_csv(tmp_path / "all.csv")
    assert table.groupby("step").size().to_dict() == {0: 11, 1: 21}


def test_a_folder_and_emoji_are_checked_too(
    folder_root: Root, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["data", "check", "folder 2-1 overlap", "--data.root", str(folder_root())]) == 0
    told = capsys.readouterr().out
    assert "class 3" in told
    assert "known" not in told
    scenario, steps, _ = count("emoji 15-5 overlap", Data(scenes=20, val_scenes=20, size=32))
    assert scenario.dataset == "emoji"
    assert (steps["training images"] > 0).all()


@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("flags", [[], ["--all"]])
def test_a_step_without_images_is_told(
    split: str, flags: list[str], folder_root: Root, capsys: pytest.CaptureFixture[str]
) -> None:
    root = folder_root()  # image 0 holds labels 1 and 2, image 1 2 and 3
    (root / f"{split}.txt").write_text(f"{split}-00\n", encoding="utf-8")
    scenario = "folder 2-1 overlap" if split == "train" else "folder 1-2 overlap order=3,1,2"
    assert main(["data", "check", scenario, "--data.root", str(root), *flags]) == 1
    kind, step = ("training", 1) if split == "train" else ("validation", 0)
    told = capsys.readouterr().out.split("\n\n")[-1]
    assert told == (
        f"step {step}: no {kind} images, but a run needs some at every step; add images of its classes, or choose "
        "another task\n"
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
def test_wrong_use_is_told(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", *words]) == 2
    assert message in capsys.readouterr().err
