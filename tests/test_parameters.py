"""A notebook's parameters cell, and notebook 06 through papermill."""

from pathlib import Path

import papermill
import pytest

from plopkit.parameters import KNOWN, from_parameters, paths_of
from plopkit.presets import configure
from plopkit.support import resources

CELL = {
    "scenario": "emoji 15-5 overlap",
    "method": "plop",
    "preset": "smoke",
    "overrides": {},
    "data_root": None,
    "out": "runs",
}
NOTEBOOK = resources.notebook("06_train_scenario.ipynb")


def test_parameters_mean_the_same_as_configure():
    assert set(CELL) == set(KNOWN)
    settings = from_parameters(CELL | {"overrides": {"optim.lr": 0.5, "hyper.pod": 0.2}})
    overrides = {"optim.lr": 0.5, "hyper.pod": 0.2, "out": "runs"}
    assert settings == configure("emoji 15-5 overlap", "plop", "smoke", overrides)


def test_overrides_may_be_papermill_text():
    text = from_parameters(CELL | {"overrides": "optim.lr=0.5 seed=3"})
    assert text == from_parameters(CELL | {"overrides": {"optim.lr": 0.5, "seed": 3}})
    with pytest.raises(ValueError, match=r"optim\.lr=0\.01.*'seed'"):
        from_parameters(CELL | {"overrides": "seed 3"})


def test_a_notebook_logs_to_the_trackers_that_its_overrides_name():
    settings = from_parameters(CELL | {"overrides": "log=jsonl,tensorboard seed=1"})
    assert settings.log == ("jsonl", "tensorboard")
    assert settings == from_parameters(CELL | {"overrides": {"log": ["jsonl", "tensorboard"], "seed": 1}})


def test_data_root_becomes_the_setting_of_that_name(tmp_path):
    assert from_parameters(CELL | {"data_root": str(tmp_path)}).data.root == tmp_path


def test_an_unknown_parameter_is_refused_and_the_known_ones_are_listed():
    cells = ["import os", "# Parameters\nmetod = 'ft'\n"]
    with pytest.raises(ValueError, match=r"'metod' \(did you mean method\?\); known: scenario, method, preset"):
        from_parameters(CELL | {"In": cells})
    from_parameters(
        CELL | {"In": ["metod = 'plop'", "# Parameters\nmethod = 'ft'\n"]}
    )  # only papermill's cell is checked


def test_a_missing_parameter_is_named():
    with pytest.raises(ValueError, match="must set method"):
        from_parameters({name: value for name, value in CELL.items() if name != "method"})


@pytest.mark.filterwarnings("default")  # jupyter warns while a kernel starts
def test_the_notebook_refuses_an_unknown_parameter(tmp_path):
    values = {"preset": "smoke", "out": str(tmp_path / "runs"), "metod": "ft"}
    with pytest.raises(papermill.PapermillExecutionError, match="did you mean method"):
        papermill.execute_notebook(NOTEBOOK, tmp_path / "out.ipynb", values, cwd=tmp_path, progress_bar=False)
    assert not (tmp_path / "runs").exists()


def test_a_lesson_uses_fewer_scenes_and_its_own_method(tmp_path):
    cell = {"scenario": "emoji 15-5 overlap", "preset": "laptop", "overrides": {}, "data_root": None, "out": tmp_path}
    brief, whole = (from_parameters(cell, "ft", lesson) for lesson in (True, False))
    assert brief.method == whole.method == "ft"
    assert brief.data.scenes < whole.data.scenes and brief.model == whole.model
    assert 0 < brief.optim.min_iterations < whole.optim.min_iterations  # as many epochs of fewer scenes
    assert brief.optim.model_copy(update={"min_iterations": whole.optim.min_iterations}) == whole.optim
    one_by_one = from_parameters(cell | {"scenario": "emoji 15-1 overlap"}, "ft", lesson=True)
    assert one_by_one.data == brief.data and one_by_one.optim.min_iterations == 2 * brief.optim.min_iterations
    settings = from_parameters(cell | {"method": "mib", "overrides": {"data.scenes": 1234}}, "plop", lesson=True)
    assert (settings.method, settings.data.scenes) == ("plop", 1234)
    with pytest.raises(ValueError, match="must set method"):
        from_parameters(cell)


def test_a_notebook_may_have_further_parameters() -> None:
    cell = {"scenario": "emoji 15-5 overlap", "preset": "smoke", "overrides": {}, "data_root": None, "out": "runs"}
    cell |= {"checkpoints": [], "In": ["# Parameters\ncheckpoints = 'a.pth'\n"]}
    assert from_parameters(cell, "ft", also=["checkpoints"]).method == "ft"
    with pytest.raises(ValueError, match="'checkpoints'; known: scenario"):
        from_parameters(cell, "ft")


def test_checkpoints_may_be_papermill_text(tmp_path: Path) -> None:
    first, second = tmp_path / "step 0.pth", tmp_path / "step1.pth"
    first.touch(), second.touch()
    assert paths_of([]) == paths_of("") == []
    assert paths_of(f"'{first}' {second}") == paths_of([str(first), second]) == [first, second]
    with pytest.raises(FileNotFoundError, match=r"no\.pth: there is no such file"):
        paths_of(["no.pth"])
