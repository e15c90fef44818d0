"""Runs with a memory: resumed, shared, continued, refused."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from small_runs import contents, leave_out_rehearsal, small
from torch import Tensor

from plopkit.catalogue import METHODS
from plopkit.cli import main
from plopkit.memory import recognised
from plopkit.methods import MiB
from plopkit.model.segmenter import Output
from plopkit.presets import configure
from plopkit.recipes import WITH_MEMORY
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.costs import costs
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import compare, load_results
from plopkit.scenario import Step

pytestmark = pytest.mark.usefixtures("no_pictures")

SCENARIO = "emoji 10-5 overlap"
MEMORY = {"memory__images": 22, "memory__mix": "half"}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs share their step 0."""
    return tmp_path_factory.mktemp("memory")


def trained(out: Path, method: str = "mib", **overrides: object) -> RunFolder:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("plopkit.runs.experiment.draw_pictures", lambda folder, title: None)
        return run(small(out, SCENARIO, method, **{"optim__epochs_later": 2} | overrides), progress=False)


@pytest.fixture(scope="module")
def finished(out: Path) -> RunFolder:
    return trained(out, **MEMORY)


@pytest.fixture(scope="module")
def plain(out: Path) -> RunFolder:
    """Without a memory."""
    return trained(out)


class Looking(MiB):
    """A method that lets the net say what its images show."""

    name, title = "looking", "MiB with eyes"

    def candidate_target(self, out: Output, target: Tensor, step: Step) -> Tensor:
        return recognised(out.logits.softmax(1), target, 0.05)


@pytest.fixture
def looking() -> Iterator[str]:
    METHODS["looking"] = Looking
    yield "looking"
    del METHODS["looking"]


def test_an_interrupted_run_gives_the_same_bytes(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted in each step, and between two."""
    leave_out_rehearsal(monkeypatch)
    settings = small(tmp_path, SCENARIO, "mib", optim__epochs_later=2, **MEMORY)
    for _ in range(30):
        ticks = Experiment.open(settings).ticks()
        for tick in ticks:
            if tick.epoch_done:
                next(ticks, None)
                break
        ticks.close()
        if RunFolder(settings.folder()).evaluated() == 3:
            break
    resumed = run(settings, progress=False)
    assert resumed.path.name == finished.path.name
    files, expected = contents(resumed.path), contents(finished.path)
    assert files.keys() == expected.keys()
    timed = {"ticks.csv", *(f"checkpoints/step-{index}.ticks.json" for index in range(3))}
    assert {name for name in files if files[name] != expected[name]} <= {"settings.yaml", *timed}
    pd.testing.assert_frame_equal(*(each.ticks.drop(columns="seconds") for each in (resumed, finished)))


def test_the_folder_tells_what_is_kept(finished: RunFolder) -> None:
    first, second, last = (finished.memory(index) for index in range(3))
    assert list(first) == ["name", "digest", "size", "known", "shows"]
    assert len(first) == len(second) == 22 and not len(last)
    assert set(first["size"]) == {4 * 64**2} and first["digest"].nunique() == 22
    assert set(first["known"]) == {tuple(range(11))}
    assert {label for shows in second["shows"] for label in shows} == set(range(1, 16))
    assert set(second["name"]) & set(first["name"])


def test_what_is_stored_is_counted_with_the_memory(finished: RunFolder) -> None:
    stores = [StepStore(finished.checkpoints, index) for index in range(3)]
    files = [[path for path in (store.checkpoint, store.state_file) if path.is_file()] for store in stores]
    sizes = [sum(path.stat().st_size for path in paths) for paths in files]
    table = costs(load_results(finished.path))
    images = [22 * 4 * 64**2, 22 * 4 * 64**2, 0]
    assert table["stored_mb"].tolist() == [sum(both) / 1e6 for both in zip(sizes, images, strict=True)]
    ticks = finished.ticks
    assert table["later_seconds"].iloc[-1] == pytest.approx(ticks[ticks["step"] > 0]["seconds"].sum())


def test_a_memory_leaves_step_0_and_the_identity_of_runs_without_one(
    out: Path, finished: RunFolder, plain: RunFolder
) -> None:
    assert "memory" not in plain.settings.identity() and plain.settings.memory.images is None
    nets = [[folder.net(index).state_dict() for index in (0, 1)] for folder in (finished, plain)]
    assert all(map(torch.equal, nets[0][0].values(), nets[1][0].values()))
    assert not torch.equal(nets[0][1]["decoder.reduce.weight"], nets[1][1]["decoder.reduce.weight"])
    assert len(list((out / ".step0").iterdir())) == 1
    assert not len(plain.memory(0)) and not list(plain.path.rglob("*.state.safetensors"))
    table = compare(load_results(finished.path, plain.path))
    assert set(table.index.get_level_values("method")) == {"mib", "mib (memory.images 22)"}


@pytest.mark.parametrize("step", [0, 1])
def test_a_run_goes_on_with_the_memory_of_another(out: Path, finished: RunFolder, step: int) -> None:
    folder = trained(out, start__checkpoint=finished.path, start__step=step, name=f"from {step}", **MEMORY)
    for index in range(step + 1):
        assert folder.memory(index).equals(finished.memory(index))
    nets = [each.net(2).state_dict() for each in (folder, finished)]
    assert all(map(torch.equal, nets[0].values(), nets[1].values()))


def test_given_steps_without_a_memory_get_one_from_their_images(
    out: Path, finished: RunFolder, plain: RunFolder
) -> None:
    folder = trained(out, start__checkpoint=plain.path, start__step=0, name="given", **MEMORY)
    assert folder.memory(0).equals(finished.memory(0))
    assert all(map(torch.equal, folder.net(2).state_dict().values(), finished.net(2).state_dict().values()))


@pytest.mark.parametrize(
    ("budget", "named"),
    [
        ({"memory__images": 21}, r"memory\.images 21"),
        ({"memory__images": None, "memory__mb": 0.35}, r"memory\.mb 0\.35"),
        ({"memory__mb": 0.35}, r"memory\.images 22, memory\.mb 0\.35"),
    ],
)
def test_a_given_memory_is_held_to_the_whole_budget(
    out: Path, finished: RunFolder, budget: dict[str, object], named: str
) -> None:
    with pytest.raises(ValueError, match=rf"keeps 22 images of 0\.36 MB, more than {named}; raise it, or take an"):
        trained(out, start__checkpoint=finished.path, start__step=0, **MEMORY | budget)


def test_a_net_says_what_the_images_of_later_steps_show(out: Path, finished: RunFolder, looking: str) -> None:
    """Here the images are further ones of an epoch."""
    folder = trained(out, looking, memory__images=22, name=looking)
    assert folder.memory(0).equals(finished.memory(0))  # the masks of step 0 show everything
    known = [finished.memory(1), folder.memory(1)]
    new = [table[~table["name"].isin(finished.memory(0)["name"])] for table in known]
    labels = [{label for shows in table["shows"] for label in shows} for table in new]
    assert labels[0] <= set(range(11, 16)) and labels[1] & set(range(1, 11)) and labels[1] <= set(range(1, 16))
    n_own = int(
        Experiment(folder.settings).data.train_loader(Experiment(folder.settings).scenario.steps[1]).sampler.count
    )
    assert len(folder.ticks.query("step == 1")) == 2 * ((n_own + 22) // 8) > len(finished.ticks.query("step == 1"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--method", "joint", "--memory.images", "30"], "joint training (joint) makes no use of a memory; leave out"),
        (["--memory.images", "0"], "memory.images = 0: Input should be greater than or equal to 1"),
        (["--memory.mb", "-1"], "memory.mb = -1.0: Input should be greater than 0"),
        (["--memory.images", "3"], "memory.images 3: no room for an image of each of the 15 classes of steps 0 to 0"),
        (["--memory.mb", "0.001"], "memory.mb 0.001: no room for an image with its mask; raise it"),
        (["--memory.mix", "half"], "memory.mix half without a budget; give memory.images, memory.mb or both"),
    ],
)
def test_what_is_impossible_is_refused_in_a_line(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["run", "emoji 15-5 overlap", "--preset", "smoke", "--method", "mib", "--out", str(tmp_path)]
    assert main([*base, "--model.weights", "none", *words]) == 2
    said = capsys.readouterr().err
    assert message in said and len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("form", WITH_MEMORY)
def test_a_task_without_a_memory_says_what_to_do_about_the_recipes(
    form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["run", "emoji joint", "--preset", "smoke", "--method", form, "--out", str(tmp_path), "--print-config"]
    assert main(base) == 2
    said = capsys.readouterr().err
    assert "emoji joint: one step has no earlier images; choose " + WITH_MEMORY[form] in said
    assert "or set memory.images to None (in a file null)" in said
    assert main([*base, "--memory.images", "None"]) == 0
    for words, budgets in (
        (["--memory.mb", "5"], "memory.images and memory.mb"),
        (["--memory.mb", "5", "--memory.images", "None"], "memory.mb"),
    ):
        capsys.readouterr()
        assert main([*base, *words]) == 2
        assert f"or set {budgets} to None (in a file null)" in capsys.readouterr().err
    (tmp_path / "settings.yaml").write_text("memory: {images: null}")
    assert main([*base, "--config", str(tmp_path / "settings.yaml")]) == 0
    capsys.readouterr()
    assert main([*base, "--memory.images", "None", "--memory.choice", "random"]) == 2
    assert "memory.choice random without a budget" in capsys.readouterr().err


def test_labels_without_an_effect_are_refused(tmp_path: Path) -> None:
    for labels in ("kept", "seen"):
        with pytest.raises(ValueError, match=rf"memory\.labels {labels} changes nothing for DKD-M \(.* give new"):
            configure(SCENARIO, "dkd-m", "smoke", {"memory.labels": labels})
        configure(SCENARIO, "star-m", "smoke", {"memory.labels": labels})
    configure(SCENARIO, "dkd-m", "smoke", {"memory.labels": "new"})


@pytest.mark.parametrize("scenario", ["emoji 2-1 domain", "emoji joint"])
def test_scenarios_without_earlier_classes_have_no_memory(scenario: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"leave out memory\.images and memory\.mb$"):
        Experiment(configure(scenario, "mib", "smoke", {"memory.images": 30, "out": tmp_path}))
