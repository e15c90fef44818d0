"""Step 0 is trained once for all runs whose step 0 is the same."""

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from small_runs import TWO_EPOCHS, small, ticks_until

from plopkit.datasets import open_for
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.step_0 import shared_step_0, step_0_source

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_all_methods_share_one_step_0(tmp_path: Path) -> None:
    trained_steps = {}
    for method in ("ft", "mib", "plop"):
        experiment = Experiment.open(small(tmp_path, method=method))
        trained_steps[method] = {step for step, *_ in ticks_until(experiment)}
    assert trained_steps == {"ft": {0, 1}, "mib": {1}, "plop": {1}}
    runs = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert len(runs) == 3
    first = [RunFolder(path).results.query("step == 0")["iou"].tolist() for path in runs]
    assert first[0] == first[1] == first[2]
    assert len({(path / "checkpoints" / "step-0.safetensors").read_bytes() for path in runs}) == 1
    assert len({(path / "checkpoints" / "step-1.safetensors").read_bytes() for path in runs}) == 3
    for changes, begins in (({"optim__lr_later": 0.5}, 1), ({"optim__lr": 0.5}, 0)):
        experiment = Experiment.open(small(tmp_path, **changes))
        assert ticks_until(experiment, lambda tick: True) == [(begins, 0, 0)]


def test_tasks_that_begin_alike_share_their_step_0_and_others_do_not(tmp_path: Path) -> None:
    """Which folder a step 0 is trained in shows after its first epoch, which is saved there."""

    def trained(scenario: str) -> set[str]:
        ticks_until(Experiment.open(small(tmp_path, scenario, optim__batch=2, optim__epochs=2)), lambda t: t.epoch_done)
        return {path.name for path in (tmp_path / ".step0").iterdir()}

    first = trained("emoji 15-5 overlap")
    assert len(first) == 1
    assert trained("emoji 15-1 overlap") == first
    n_folders = 1
    for scenario in ("emoji 10-10 overlap", "emoji 15-5 disjoint", "emoji 15-5 overlap order=b", "emoji joint"):
        n_folders += 1
        assert len(trained(scenario)) == n_folders


def test_methods_differ_from_step_1_on(finished: Experiment, tmp_path: Path) -> None:
    folder = run(small(tmp_path, method="ft", **TWO_EPOCHS), progress=False)
    ft, plop = folder.results, finished.folder.results
    assert ft.query("step == 0")["iou"].tolist() == plop.query("step == 0")["iou"].tolist()
    assert ft.query("step == 1")["iou"].tolist() != plop.query("step == 1")["iou"].tolist()
    assert "loss_pod" not in folder.ticks


def test_changed_images_are_another_run_with_its_own_step_0(folder_root: Callable[..., Path], tmp_path: Path) -> None:
    root = folder_root(train=8, val=4, classes=4, size=(64, 64))
    settings = {"scenario": "folder 2-1 overlap", "method": "ft", "data__root": root, "optim__batch": 2}
    run(small(tmp_path / "out", **settings), progress=False)
    Image.new("RGB", (64, 64), "red").save(root / "images" / "train-00.jpg")
    message = (
        r"the images or masks have changed since this run was made \(train: 1 image altered.*\); "
        "choose another name or out, or delete it"
    )
    with pytest.raises(ValueError, match=message):
        Experiment.open(small(tmp_path / "out", **settings))
    renamed = Experiment.open(small(tmp_path / "out", name="renamed", **settings))
    assert ticks_until(renamed, lambda tick: True) == [(0, 0, 0)]


def test_a_step_0_that_an_earlier_version_has_begun_goes_on(folder_root: Callable[..., Path], tmp_path: Path) -> None:
    """The place and the times of the images counted."""
    root = folder_root(train=8, val=4, classes=4, size=(64, 64))
    experiment = Experiment(small(tmp_path, "folder 2-1 overlap", "ft", data__root=root, optim__batch=2))
    settings, scenario, method = experiment.settings, experiment.scenario, experiment.method
    train = open_for(scenario, "train", settings.data)
    now = shared_step_0(settings, scenario, method, train, train.fingerprint)
    earlier = tmp_path / ".step0" / step_0_source(settings, scenario, method, train.earlier_fingerprint, root)
    assert earlier != now.folder
    earlier.mkdir(parents=True)
    assert shared_step_0(settings, scenario, method, train, train.fingerprint).folder == earlier
    now.folder.mkdir()
    assert shared_step_0(settings, scenario, method, train, train.fingerprint) == now
