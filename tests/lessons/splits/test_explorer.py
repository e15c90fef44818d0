"""The explorer of scenarios: data sets, tasks, protocols, orders."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from small_runs import small

from plopkit.catalogue import DATASETS, DataSet
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.lessons.splits import splits_explorer
from plopkit.widgets import Explorer


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> ScenarioData:
    return ScenarioData.open(small(tmp_path_factory.mktemp("out")), trains=False)


@pytest.fixture
def explorer(data: ScenarioData) -> Explorer:
    return splits_explorer(data)


def texts(figure: Figure) -> list[str]:
    result = [text.get_text().strip() for axis in figure.axes for text in axis.texts]
    return result + [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def shown_texts(explorer: Explorer) -> list[str]:
    return [word for word in texts(explorer.figure()) if word.replace(",", "").isdigit()]


def test_the_explorer_starts_with_the_lessons_scenario(explorer: Explorer, data: ScenarioData) -> None:
    assert explorer.values == {"dataset": "emoji", "task": "15-5", "protocol": "overlap", "order": "natural"}
    counts = data.table()[["training images", "validation images"]].to_numpy().T.flatten()
    assert shown_texts(explorer)[-4:] == [f"{count:,}" for count in counts]


def test_every_control_changes_numbers_and_picture(explorer: Explorer) -> None:
    seen = [explorer.picture.value]
    for change, expected in (
        ({"dataset": "voc"}, ["9,568", "2,145", "1,240", "1,449"]),
        ({"protocol": "disjoint"}, ["8,437", "2,145", "1,240", "1,449"]),
        ({"task": "19-1"}, ["10,034", "548", "1,421", "1,449"]),
        ({"order": "b"}, None),
    ):
        explorer.set(**change)
        assert not explorer.message.value
        assert explorer.picture.value not in seen
        seen.append(explorer.picture.value)
        if expected:
            assert shown_texts(explorer)[-4:] == expected
    assert shown_texts(explorer)[-4:] != ["10,034", "548", "1,421", "1,449"]


def test_a_data_set_whose_images_are_known_can_be_chosen(data: ScenarioData, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = (np.eye(4, 256, dtype=bool), np.eye(6, 256, dtype=bool))
    names = ("background", "disc", "star", "ring")
    entry = DataSet("shapes", "nowhere:open", names=names, tasks=("2-1",), known_presence=lambda: tables)
    monkeypatch.setitem(DATASETS, "shapes", entry)
    explorer = splits_explorer(data)
    assert list(explorer.controls["dataset"].options) == ["emoji", "voc", "shapes"]
    explorer.set(dataset="shapes")
    assert explorer.figure().get_suptitle() == "shapes 2-1 overlap"


def test_every_control_has_a_tooltip(explorer: Explorer) -> None:
    for control in explorer.controls.values():
        assert control.description and control.tooltip


def test_a_folder_has_its_own_tasks_and_so_has_voc(folder_root: Callable[..., Path], tmp_path: Path) -> None:
    settings = small(tmp_path, "folder 2-1 overlap order=3,1,2", data__root=folder_root())
    explorer = splits_explorer(ScenarioData.open(settings, trains=False))
    own = {"dataset": "folder", "task": "2-1", "protocol": "overlap", "order": "3,1,2"}
    assert explorer.values == own
    assert explorer.figure().get_suptitle() == "folder 2-1 overlap order=3, 1, 2"
    explorer.set(dataset="voc", task="15-1", order="c")
    assert explorer.figure().get_suptitle() == "voc 15-1 overlap order=c"
    explorer.set(dataset="folder", task="joint")
    assert not explorer.message.value
    assert explorer.values["order"] == "natural"
    assert explorer.figure().get_suptitle() == "folder joint"
