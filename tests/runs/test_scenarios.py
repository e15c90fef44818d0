"""Runs of other scenarios: the protocols, users' own data, one step, joint training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_runs import small, ticks_until
from torch.utils.data import DataLoader
from wide_folder import N, write_wide_folder

from plopkit.datasets.steps import Selection
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.results import summarise
from plopkit.scenario import IGNORE, WIDE_IGNORE


def labels_in(loader: DataLoader) -> set[int]:
    """The channels in a loader's targets, which are labels on emoji."""
    return {int(label) for _, target in loader for label in target.unique()}


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("protocol", ["overlap", "disjoint", "sequential"])
def test_several_steps_on_a_users_data(folder_root: Callable[..., Path], tmp_path: Path, protocol: str) -> None:
    root = folder_root(train=20, val=6, classes=6, size=(64, 72))
    classes = ["background", "NA", "null", "007", "nan", "None"]
    (root / "classes.txt").write_text("\n".join(classes), encoding="utf-8")
    scenario = f"folder 3-1 {protocol} order=2,5,1,4,3"
    experiment = Experiment.open(small(tmp_path / "out", scenario, data__root=root, optim__batch=2))
    assert {step for step, *_ in ticks_until(experiment)} == {0, 1, 2}
    table = experiment.folder.results
    assert [rows["label"].tolist() for _, rows in table.groupby("step")] == [
        [0, 2, 5, 1],
        [0, 2, 5, 1, 4],
        [0, 2, 5, 1, 4, 3],
    ]
    assert table["learned_at"].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2]
    assert table["name"].tolist() == [classes[label] for label in table["label"]]
    summary = experiment.folder.summary
    assert summary["avg"].iloc[-1] == pytest.approx(summary["all"].mean(), abs=1e-6)
    pd.testing.assert_frame_equal(summarise(table), summary, atol=1e-6)
    examples = experiment.folder.examples
    assert len(examples["predictions"]) == 3
    assert set(np.unique(examples["predictions"][0])) <= {0, 1, 2, 5}
    assert set(np.unique(examples["masks"])) <= {*range(6), IGNORE}
    # The images of each step, counted by the rule; the order puts label 3 last.
    present = [set(np.unique(experiment.data.train.read(i).mask)) for i in range(20)]
    for step in experiment.scenario.steps:
        n_images = sum(step.uses(labels) for labels in present)
        assert len(experiment.data.train_loader(step)) == n_images // 2
        assert experiment.data.table()["training images"][step.index] == n_images
    assert experiment.data.table()["new classes"].tolist() == ["null, None, NA", "nan", "007"]


@pytest.mark.usefixtures("no_pictures")
def test_a_scenario_of_one_step(tmp_path: Path) -> None:
    experiment = Experiment.open(small(tmp_path, "emoji joint", "joint"))
    assert {step for step, *_ in ticks_until(experiment)} == {0}
    assert len(experiment.folder.results) == 21
    summary = experiment.folder.summary
    assert summary["new"].isna().all()
    assert summary["all"].tolist() == summary["old"].tolist() == summary["avg"].tolist()


def test_a_scenario_of_one_step_has_pictures(tmp_path: Path) -> None:
    folder = run(small(tmp_path, "emoji joint", "ft"), progress=False)
    assert len(list(folder.pictures.glob("*.png"))) == 3


@pytest.mark.usefixtures("no_pictures")
def test_joint_training_uses_all_images_and_labels_so_far(tmp_path: Path) -> None:
    experiment = Experiment.open(small(tmp_path, method="joint", optim__epochs_later=3))
    ticks = [tick for tick in experiment.ticks() if tick.step == 1]
    assert len(ticks) == 40 // 8  # all scenes, for the epochs of step 0
    assert ticks[0].lr == experiment.settings.optim.lr
    step = experiment.scenario.steps[1]
    all_seen = Selection.all_seen(step, experiment.data.presence[0])
    labels = labels_in(experiment.data.train_loader(step, all_seen))
    assert labels <= {*range(21), IGNORE}
    assert labels & set(range(1, 16))
    assert labels_in(experiment.data.train_loader(step)) <= {0, *range(16, 21), IGNORE}


def test_the_sequential_protocol_shows_the_old_labels(tmp_path: Path) -> None:
    experiment = Experiment.open(small(tmp_path, "emoji 15-5 sequential"))
    labels = labels_in(experiment.data.train_loader(experiment.scenario.steps[1]))
    assert labels & set(range(1, 16))
    assert labels & set(range(16, 21))


def test_step_0_of_the_disjoint_protocol_leaves_out_images_with_future_labels(tmp_path: Path) -> None:
    disjoint, overlap = (Experiment.open(small(tmp_path, f"emoji 15-5 {p}")) for p in ("disjoint", "overlap"))
    counts = [experiment.data.table()["training images"].tolist() for experiment in (disjoint, overlap)]
    assert counts[0][0] < counts[1][0]
    assert counts[0][1] == counts[1][1]


def test_a_run_on_more_labels_than_8_bits_hold(tmp_path: Path) -> None:
    root = write_wide_folder(tmp_path / "wide")
    settings = small(tmp_path / "out", "folder 254-45 overlap", data__root=root, optim__batch=4, optim__epochs_later=2)
    folder = run(settings, progress=False)
    examples, results = folder.examples, folder.results
    assert (examples["masks"].dtype, examples["predictions"].dtype) == (np.uint16, np.uint16)
    assert {0, 255, WIDE_IGNORE} < set(np.unique(examples["masks"]).tolist())
    assert examples["predictions"].max() < N
    assert results.groupby("step")["label"].agg(list).tolist() == [list(range(255)), list(range(N))]
    assert results[(results["step"] == 1) & (results["label"] == 255)]["iou"].notna().all()
    assert len(list(folder.pictures.glob("*.png"))) == 3
