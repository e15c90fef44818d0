"""Published checkpoints evaluated as a run, and runs exported in the layouts of the published code."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from run_files import write_run
from safetensors.torch import save_file
from small_runs import contents, small

from plopkit.catalogue import METHODS
from plopkit.cli import main
from plopkit.model.checkpoints import load_published, save_published
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.presets import configure, open_scenario
from plopkit.runs import released
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import run
from plopkit.runs.folder import RunFolder
from plopkit.runs.released import evaluate_checkpoints, export
from plopkit.runs.results import load_results
from plopkit.runs.steps import first_net
from plopkit.support import seals

SCENARIO = "emoji 15-5 overlap"

pytestmark = pytest.mark.usefixtures("no_pictures", "narrow")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, narrow: None) -> list[Path]:
    """Two steps of an untrained ResNet-18, as the official code saves them."""
    folder = tmp_path_factory.mktemp("released")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Segmenter(Encoder("resnet18", 16, "none"), (16,), width=32, pool=32)  # half the size of the usual one
        nets = [net, net.grown(5, balanced=False)]
    paths = [folder / f"step_{index}.pth" for index in range(2)]
    for path, step_net in zip(paths, nets, strict=True):
        save_published(step_net, path)
    return paths


def evaluate(checkpoints: list[Path], out: Path, *flags: str) -> int:
    """The exit code of `plopkit evaluate`."""
    args = ["evaluate", *map(str, checkpoints), "--scenario", SCENARIO, "--preset", "smoke", "--out", str(out), *flags]
    return main([*args, "--data.size", "64", "--data.val-scenes", "20"])


def run_folders(out: Path) -> list[Path]:
    return [path for path in out.iterdir() if not path.name.startswith(".")]


# Evaluation


@pytest.mark.pictures
def test_evaluated_checkpoints_leave_the_files_of_a_run(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path, "--method", "mib") == 0
    (path,) = run_folders(tmp_path)
    folder = RunFolder(path)
    assert folder.results.groupby("step").size().tolist() == [16, 21]
    assert folder.summary["method"].unique().tolist() == ["mib"]
    assert len(folder.ticks) == 0
    assert {path.name for path in folder.pictures.glob("*.png")} == {"curves.png", "predictions.png"}
    assert folder.examples["predictions"].shape[0] == 2
    published, stored = load_published(checkpoints[1]), folder.net(1).eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(published(image).logits, stored(image).logits)
    table = load_results(tmp_path)
    assert table["method"].unique().tolist() == ["mib"]


def test_what_a_training_begins_with_is_refused(checkpoints: list[Path], tmp_path: Path) -> None:
    settings = small(tmp_path, start__checkpoint=checkpoints[0])
    with pytest.raises(ValueError, match=r"every step has its own checkpoint, so leave it out"):
        evaluate_checkpoints(settings, checkpoints)


def test_the_same_checkpoints_are_not_evaluated_twice(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.csv")}
    assert evaluate(checkpoints, tmp_path) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.csv")} == before


@pytest.mark.parametrize("name", ["step-0.safetensors", "step-1.ticks.json", "step-1.safetensors"])
def test_a_damaged_checkpoint_is_made_again_from_the_given_one(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    """Nothing is trained."""
    assert evaluate(checkpoints, tmp_path) == 0
    (folder,) = run_folders(tmp_path)
    path, before = folder / "checkpoints" / name, contents(tmp_path, seals=True)
    path.write_bytes(path.read_bytes()[:-1])
    capsys.readouterr()
    assert evaluate(checkpoints, tmp_path) == 0
    assert f"{path}: damaged" in capsys.readouterr().err
    assert contents(tmp_path, seals=True) == before
    path.unlink()
    assert evaluate(checkpoints, tmp_path) == 0
    assert contents(tmp_path, seals=True) == before


@pytest.mark.parametrize("evaluated", ["crop", "full"])
def test_full_images_and_crops(checkpoints: list[Path], tmp_path: Path, evaluated: str) -> None:
    """Emoji scenes are square: at their own size, crop and full image are the same pixels."""
    assert evaluate(checkpoints, tmp_path, "--evaluate", evaluated) == 0
    table = load_results(tmp_path)
    assert table["pixels"].sum() > 0
    assert np.isfinite(table["iou"]).any()


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ([0], "has 2 steps, but 1 checkpoints are given"),
        ([1, 0], r"its classifiers have \(16, 5\) channels; step 0 of emoji 15-5 overlap has \(16,\)"),
    ],
)
def test_checkpoints_that_do_not_match_the_steps_are_refused(
    checkpoints: list[Path], tmp_path: Path, chosen: list[int], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate([checkpoints[i] for i in chosen], tmp_path) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("trained", "named", "said"),
    [
        (
            "dkd",
            "plop",
            r"are nets of DKD, evaluated as PLOP's are: data\.size 64, future background; --method dkd sets",
        ),
        ("ssul", "dkd-m", r"are nets of SSUL, evaluated as DKD-M's are: .*; --method ssul sets"),
        ("star", "mib", r"are nets of STAR, evaluated as MiB's are: .*; --method star sets"),
        ("mib", "ssul", r"are nets with a softmax, evaluated as SSUL's are: .*; --method plop sets"),
        *((name, name, "") for name in ("dkd", "ssul-m", "star-m", "ft")),
        ("dkd", "dkd-m", ""),
        ("ft", "plop", ""),
    ],
)
def test_a_net_of_another_kind_than_the_methods_is_named(
    trained: str, named: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = small(tmp_path, SCENARIO, trained)
    net = first_net(settings, open_scenario(settings), METHODS[trained]())
    released._compare_with_method(small(tmp_path, SCENARIO, named), net)
    message = capsys.readouterr().err
    assert re.search(said, message) and len(message.splitlines()) == bool(said)


def test_checkpoints_of_different_nets_are_refused(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deeper = Segmenter(Encoder("resnet34", 16, "none"), (16, 5))
    save_published(deeper, tmp_path / "deeper.pth")
    assert evaluate([checkpoints[0], tmp_path / "deeper.pth"], tmp_path / "runs") == 2
    message = capsys.readouterr().err
    assert "deeper.pth: a resnet34 with a decoder 256 wide" in message and "is a resnet18" in message
    assert "the rows are named 'plop', and are evaluated by its recipe; --method gives another one" in message
    assert not (tmp_path / "runs").exists()


def test_different_checkpoints_and_different_settings_have_their_own_folders(
    checkpoints: list[Path], tmp_path: Path
) -> None:
    changed = tmp_path / "changed.pth"
    net = load_published(checkpoints[1])
    with torch.no_grad():
        net.classifier[1].bias.add_(1)
    save_published(net, changed)
    assert evaluate(checkpoints, tmp_path / "runs") == 0
    assert evaluate(checkpoints, tmp_path / "runs", "--evaluate", "full") == 0
    assert evaluate([checkpoints[0], changed], tmp_path / "runs") == 0
    assert len(run_folders(tmp_path / "runs")) == 3


def test_a_name_already_used_for_other_checkpoints_is_refused(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(checkpoints, tmp_path, "--name", "t") == 0
    before = (tmp_path / "t" / "results.csv").read_bytes()
    save_published(load_published(checkpoints[1]), tmp_path / "other.pth", "cssegmentation")
    assert evaluate([checkpoints[0], tmp_path / "other.pth"], tmp_path, "--name", "t") == 2
    message = "t: the checkpoints are not those of this run; choose another name or out, or delete it"
    assert message in capsys.readouterr().err
    assert (tmp_path / "t" / "results.csv").read_bytes() == before


def test_flags_do_not_take_checkpoints_as_their_values(
    checkpoints: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--data.root", "D", *map(str, checkpoints), "--scenario", SCENARIO]) == 2
    assert "name the checkpoints first" in capsys.readouterr().err


def test_model_flags_do_not_change_a_published_net(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path / "a") == 0
    assert evaluate(checkpoints, tmp_path / "b", "--model.slope", "0.5", "--model.width", "8") == 0
    without, with_flags = (load_results(tmp_path / name)["iou"].tolist() for name in "ab")
    np.testing.assert_array_equal(without, with_flags)


def test_evaluation_needs_no_full_training_batch(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path, "--optim.batch", "4000") == 0


def test_a_checkpoint_with_iabn_is_opened_without_the_package(
    checkpoints: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evaluate(checkpoints, tmp_path) == 0
    (path,) = run_folders(tmp_path)
    store = StepStore(RunFolder(path).checkpoints, 1)
    recipe = store.recipe()
    assert recipe is not None
    recipe["encoder"]["norm"] = "iabn"
    weights = store.weights()
    save_file(weights, store.checkpoint, {"step": json.dumps({"classes": store.classes(), "recipe": recipe})})
    seals.write_seal(store.checkpoint, seals.digest_of(store.checkpoint))
    monkeypatch.setattr("plopkit.model.norms.find_spec", lambda name: None)
    net = RunFolder(path).net(1)
    assert net.classes == (16, 5)
    assert all(torch.equal(weights[name], tensor) for name, tensor in net.state_dict().items())


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    settings = configure(SCENARIO, "ft", "smoke", {"out": tmp_path})
    folder = RunFolder(settings.folder())
    with pytest.raises(FileNotFoundError, match=r"step-1\.safetensors: there is no such checkpoint"):
        StepStore(folder.checkpoints, 1).classes()


# Export


def test_an_exported_run_is_read_back(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path / "runs") == 0
    (path,) = run_folders(tmp_path / "runs")
    for layout in ("official", "cssegmentation"):
        written = export(path, layout, tmp_path / layout)
        assert [file.name for file in written] == ["step-0.pth", "step-1.pth"]
        for exported, original in zip(written, checkpoints, strict=True):
            found, expected = load_published(exported).state_dict(), load_published(original).state_dict()
            assert all(torch.equal(found[key], expected[key]) for key in expected)


def test_a_net_that_a_layout_cannot_describe_is_not_exported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trained = run(small(tmp_path / "runs", method="ft", model__encoder="resnet18"), progress=False)
    assert main(["export", str(trained.path), "-o", str(tmp_path / "out")]) == 2
    assert "model.dilations" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_export_of_an_incomplete_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "no finished step in it" in capsys.readouterr().err
    folder = write_run(tmp_path, "paper", 1)
    (folder / "settings.yaml").unlink()
    assert main(["export", str(folder), "-o", str(tmp_path / "out")]) == 2
    assert f"{folder}: no settings.yaml in it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_export_to_a_full_disk_names_the_file(checkpoints: list[Path]) -> None:
    with pytest.raises(OSError, match=r"full/a\.pth"):
        save_published(load_published(checkpoints[0]), "/dev/full/a.pth")
