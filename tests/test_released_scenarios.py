"""Class lists of the released code, and the known numbers of images per step of VOC 2012 with the additional masks."""

import json
from pathlib import Path

import numpy as np
import pytest

from plopkit.scenario import IGNORE, N_IDS, Scenario, check

# Class lists of CVPR2021_PLOP, commit 4b4a060.
RELEASED = json.loads((Path(__file__).parent / "golden" / "tasks.json").read_text(encoding="utf-8"))
REFERENCE = Path(__file__).resolve().parents[2] / "shared" / "reference"


def released(dataset: str) -> list[tuple[str, list[list[int]]]]:
    """The text of every released scenario with the new labels of its steps."""
    tasks = list(RELEASED[dataset].items())
    if dataset == "ade":  # each step as [first label, last label]
        tasks = [(name, [list(range(a, b + 1)) for a, b in steps]) for name, steps in tasks]
    return [(f"{dataset} {name} overlap", steps) for name, steps in tasks]


@pytest.mark.parametrize(("text", "steps"), released("voc") + released("ade"))
def test_released_class_lists(text: str, steps: list[list[int]]) -> None:
    assert [list(step.new) for step in Scenario.parse(text).steps] == steps
    assert check(text) == str(Scenario.parse(text))


TRAIN = {
    "15-1 overlap": [9568, 487, 299, 491, 500, 548],
    "15-1 disjoint": [8437, 378, 299, 420, 500, 548],
    "15-5 overlap": [9568, 2145],
    "15-5 disjoint": [8437, 2145],
    "19-1 overlap": [10410, 548],
    "19-1 disjoint": [10034, 548],
    "10-1 overlap": [6139, 528, 1177, 444, 482, 3898, 487, 299, 491, 500, 548],
    "10-1 disjoint": [3706, 188, 868, 227, 201, 3247, 378, 299, 420, 500, 548],
    "10-1 sequential": [3706, 188, 868, 227, 201, 3247, 378, 299, 420, 500, 548],
    "joint": [10582],
}
VAL = {
    "15-1 overlap": [1240, 1277, 1329, 1353, 1421, 1449],
    "10-1 overlap": [869, 893, 1005, 1081, 1140, 1240, 1277, 1329, 1353, 1421, 1449],
    "joint": [1449],
}


@pytest.fixture(scope="module")
def voc() -> tuple[np.ndarray, np.ndarray]:
    """Presence tables (images, N_IDS) of the training and the validation set."""
    files = REFERENCE / "voc2012_aug_presence.npz", REFERENCE / "voc2012_train_aug_ids.txt"
    if not all(file.exists() for file in files):
        pytest.skip("the table of VOC's labels per image is missing")
    with np.load(files[0]) as stored:
        presence = np.zeros((len(stored["ids"]), N_IDS), dtype=bool)
        presence[:, :21] = np.unpackbits(stored["classes"], axis=1)[:, :21]
        presence[:, IGNORE] = stored["void"]
        train = np.isin(stored["ids"], files[1].read_text(encoding="utf-8").split())
    assert (train.sum(), (~train).sum()) == (10582, 1449)
    return presence[train], presence[~train]


@pytest.mark.parametrize("task", TRAIN)
def test_training_images_per_step_of_voc(task: str, voc: tuple[np.ndarray, np.ndarray]) -> None:
    counts = [int(step.trains_on(voc[0]).sum()) for step in Scenario.parse(f"voc {task}").steps]
    assert counts == TRAIN[task]


@pytest.mark.parametrize("task", VAL)
def test_validation_images_per_step_of_voc(task: str, voc: tuple[np.ndarray, np.ndarray]) -> None:
    counts = [int(step.evaluates_on(voc[1]).sum()) for step in Scenario.parse(f"voc {task}").steps]
    assert counts == VAL[task]
