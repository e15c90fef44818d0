"""Released checkpoints evaluated as a run, runs exported as theirs, and the rows of the papers' tables."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from small_runs import small

from plopkit.cli import main
from plopkit.model.checkpoints import load_published, save_published
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.presets import configure
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import run
from plopkit.runs.folder import RunFolder
from plopkit.runs.published import rows
from plopkit.runs.released import export
from plopkit.runs.results import load_results, summarise
from plopkit.settings import to_yaml
from plopkit.support.files import write_table, write_text

SCENARIO = "emoji 15-5 overlap"

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two steps of an untrained ResNet-18, as the official code saves them."""
    folder = tmp_path_factory.mktemp("released")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = Segmenter(Encoder("resnet18", 16, "none"), (16,), pool=32)
        nets = [net, net.grown(5, balanced=False)]
    paths = [folder / f"step_{index}.pth" for index in range(2)]
    for path, one in zip(paths, nets, strict=True):
        save_published(one, path)
    return paths


def evaluate(checkpoints: list[Path], out: Path, *more: str) -> int:
    words = ["evaluate", *map(str, checkpoints), "--scenario", SCENARIO, "--preset", "smoke", "--out", str(out), *more]
    return main([*words, "--data.size", "64", "--data.val-scenes", "20"])


@pytest.mark.pictures
def test_released_checkpoints_leave_the_files_of_a_run(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path, "--method", "mib") == 0
    (found,) = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    folder = RunFolder(found)
    assert folder.results.groupby("step").size().tolist() == [16, 21]
    assert folder.summary["method"].unique().tolist() == ["mib"]
    assert len(folder.ticks) == 0
    assert {path.name for path in folder.pictures.iterdir()} == {"curves.png", "predictions.png"}
    assert folder.examples["predictions"].shape[0] == 2
    net = load_published(checkpoints[1])
    kept = folder.net(1).eval()
    image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(net(image).logits, kept(image).logits)
    table = load_results(tmp_path)
    assert table["method"].unique().tolist() == ["mib"]


def test_the_same_checkpoints_give_the_same_folder_and_others_another(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.csv")}
    assert evaluate(checkpoints, tmp_path) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("results.csv")} == before


@pytest.mark.parametrize("evaluated", ["crop", "full"])
def test_full_images_and_crops(checkpoints: list[Path], tmp_path: Path, evaluated: str) -> None:
    """Emoji scenes are square: of their own size, crop and full image are the same pixels."""
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
def test_checkpoints_that_are_not_the_steps_are_refused(
    checkpoints: list[Path], tmp_path: Path, chosen: list[int], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    assert evaluate([checkpoints[i] for i in chosen], tmp_path) == 2
    assert re.search(message, capsys.readouterr().err)
    assert not list(tmp_path.iterdir())


def test_checkpoints_of_different_nets_are_refused(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = Segmenter(Encoder("resnet34", 16, "none"), (16, 5))
    save_published(other, tmp_path / "other.pth")
    assert evaluate([checkpoints[0], tmp_path / "other.pth"], tmp_path / "runs") == 2
    told = capsys.readouterr().err
    assert "other.pth: a resnet34 with a head 256 wide" in told and "is a resnet18" in told
    assert "the rows are named 'plop'; --method names another" in told
    assert not (tmp_path / "runs").exists()


def test_a_net_that_would_be_another_is_not_exported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trained = run(small(tmp_path / "runs", method="ft", model__encoder="resnet18"), progress=False)
    assert main(["export", str(trained.path), "-o", str(tmp_path / "out")]) == 2
    assert "model.dilations" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_run_with_iabn_is_opened_where_the_package_is_not(
    checkpoints: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert evaluate(checkpoints, tmp_path) == 0
    (found,) = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    settings = (found / "settings.yaml").read_text()
    (found / "settings.yaml").write_text(settings.replace("norm: abn", "norm: iabn"))
    monkeypatch.setattr("plopkit.runs.folder.find_spec", lambda name: None)
    assert "iabn" in (found / "settings.yaml").read_text()
    assert RunFolder(found).net(1).classes == (16, 5)


def test_a_run_is_exported_and_comes_back(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path / "runs") == 0
    (run,) = [path for path in (tmp_path / "runs").iterdir() if not path.name.startswith(".")]
    for layout in ("official", "cssegmentation"):
        written = export(run, layout, tmp_path / layout)
        assert [path.name for path in written] == ["step-0.pth", "step-1.pth"]
        for path, original in zip(written, checkpoints, strict=True):
            ours, theirs = load_published(path).state_dict(), load_published(original).state_dict()
            assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_export_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "out")]) == 2
    assert "no finished step in it" in capsys.readouterr().err
    folder = finished(tmp_path, "paper", 1)
    (folder / "settings.yaml").unlink()
    assert main(["export", str(folder), "-o", str(tmp_path / "out")]) == 2
    assert f"{folder}: no settings.yaml in it" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_export_to_a_place_that_is_full_is_told(checkpoints: list[Path]) -> None:
    with pytest.raises(OSError, match=r"full/a\.pth"):
        save_published(load_published(checkpoints[0]), "/dev/full/a.pth")


def test_other_checkpoints_and_other_settings_have_folders_of_their_own(
    checkpoints: list[Path], tmp_path: Path
) -> None:
    other = tmp_path / "other.pth"
    net = load_published(checkpoints[1])
    with torch.no_grad():
        net.classifier[1].bias.add_(1)
    save_published(net, other)
    assert evaluate(checkpoints, tmp_path / "runs") == 0
    assert evaluate(checkpoints, tmp_path / "runs", "--evaluate", "full") == 0
    assert evaluate([checkpoints[0], other], tmp_path / "runs") == 0
    assert len([path for path in (tmp_path / "runs").iterdir() if not path.name.startswith(".")]) == 3


def test_a_name_is_not_given_to_other_checkpoints(
    checkpoints: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(checkpoints, tmp_path, "--name", "t") == 0
    kept = (tmp_path / "t" / "results.csv").read_bytes()
    save_published(load_published(checkpoints[1]), tmp_path / "other.pth", "cssegmentation")
    assert evaluate([checkpoints[0], tmp_path / "other.pth"], tmp_path, "--name", "t") == 2
    assert "t: the checkpoints are others; choose another name" in capsys.readouterr().err
    assert (tmp_path / "t" / "results.csv").read_bytes() == kept


def test_flags_do_not_take_checkpoints_for_their_values(
    checkpoints: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "--data.root", "D", *map(str, checkpoints), "--scenario", SCENARIO]) == 2
    assert "name the checkpoints first" in capsys.readouterr().err


def test_a_flag_does_not_change_the_released_net(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path / "a") == 0
    assert evaluate(checkpoints, tmp_path / "b", "--model.slope", "0.5", "--model.width", "8") == 0
    one, two = (load_results(tmp_path / name)["iou"].tolist() for name in "ab")
    np.testing.assert_array_equal(one, two)


def test_few_training_images_are_enough_to_evaluate(checkpoints: list[Path], tmp_path: Path) -> None:
    assert evaluate(checkpoints, tmp_path, "--optim.batch", "4000") == 0


def test_a_checkpoint_that_is_missing_is_named(tmp_path: Path) -> None:
    settings = configure(SCENARIO, "ft", "smoke", {"out": tmp_path})
    folder = RunFolder(settings.folder())
    with pytest.raises(FileNotFoundError, match=r"step-1\.safetensors: there is no such checkpoint"):
        StepStore(folder.checkpoints, 1).classes()


def test_the_twelve_rows_of_cssegmentation_come_first() -> None:
    table = rows()
    first = [f"{row.scenario} {row.method}" for row in table.head(12).itertuples()]
    voc = [f"voc {task} {protocol} plop" for task in ("15-5", "15-1", "10-1") for protocol in ("disjoint", "overlap")]
    ade = [f"ade {task} {p} plop" for task in ("100-50", "100-10", "100-5") for p in ("disjoint", "overlap")]
    assert first == voc + ade
    assert not table.duplicated(["method", "scenario"]).any()
    row = table[(table["method"] == "plop") & (table["scenario"] == "voc 15-1 overlap")].iloc[0]
    assert "54.64 with background, PLOP (CVPR 2021), Table 1" in row["published"]
    assert row["command"] == 'plopkit run "voc 15-1 overlap" --method plop --preset paper --data.root data/voc'
    assert row["seeds"] == 0
    assert {"ft", "lwf", "lwf-mc", "ilt", "ewc", "rw", "pi", "mib", "joint"} <= set(table["method"])


def test_every_rows_command_is_understood() -> None:
    import shlex

    from plopkit.flags import parse_run

    for line in rows()["command"]:
        settings = parse_run(shlex.split(line)[2:])
        assert settings.data.size == 512
        assert settings.optim.batch == 24
        epochs = {"ade": 60, "voc": 30}[settings.scenario.split()[0]]
        assert settings.optim.epochs == epochs
        assert settings.optim.epochs_later == (10 if settings.scenario.startswith("voc 10-1") else epochs)
        assert settings.model.encoder == "resnet101"


def finished(out: Path, preset: str, seed: int, steps: int = 2, iou: float | None = None, **overrides: object) -> Path:
    """A run folder as training would leave it, all classes at ``iou``, or 10 seed, + label."""
    settings = configure("voc 15-5 overlap", "plop", preset, {"out": out, "seed": seed} | overrides)
    folder = settings.folder()
    write_text(folder / "settings.yaml", to_yaml(settings))
    base = 10.0 * seed if iou is None else iou
    made = [
        {"scenario": settings.scenario, "method": "plop", "seed": seed, "step": step, "label": label}
        | {"name": str(label), "learned_at": int(label > 15), "iou": base + label, "accuracy": 0.0, "pixels": 1}
        for step in range(steps)
        for label in range(21 if step else 16)
    ]
    write_table(folder / "results.csv", pd.DataFrame(made))
    write_table(folder / "summary.csv", summarise(pd.DataFrame(made)))
    return folder


def test_own_runs_fill_their_rows_when_they_are_finished_and_made_so(tmp_path: Path) -> None:
    def row(*folders: Path) -> pd.Series:
        return rows(folders).set_index(["scenario", "method"]).loc[("voc 15-5 overlap", "plop")]

    paper = [
        finished(tmp_path, "paper", 1, **{"data.root": "/a"}),
        finished(tmp_path, "paper", 2, **{"compute.cpu": True, "model.weights": "resnet101_iabn_sync.pth.tar"}),
    ]
    others = [finished(tmp_path, "laptop", 5), finished(tmp_path, "paper", 5, **{"hyper.pod": 0.5})]
    others.append(finished(tmp_path, "paper", 6, **{"model.weights": "none"}))
    unfinished = finished(tmp_path, "paper", 7, steps=1)
    found = row(*others, *paper, unfinished)
    assert found["own"] == pytest.approx(15 + 10)
    assert found["own_nobg"] == pytest.approx(15 + 10.5)
    assert found["seeds"] == 2
    assert row(*others, unfinished)["seeds"] == 0
    assert rows(paper)["seeds"].sum() == 2
    again = finished(tmp_path / "again", "paper", 1, iou=40.0)  # the same seed with other numbers, another machine's
    found = row(*paper, again)
    assert found["seeds"] == 2
    assert found["own"] == pytest.approx(((20 + 50) / 2 + 30) / 2)


def test_joint_rows_are_of_one_step() -> None:
    table = rows()
    joint = table[table["method"] == "joint"]
    assert len(joint) and all('"voc joint"' in c or '"ade joint"' in c for c in joint["command"])


def test_rows_are_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rows", "-o", str(tmp_path / "rows.csv")]) == 0
    told = capsys.readouterr().out
    assert told.startswith("plop on voc 15-5 disjoint\n    published: 64.29 with background")
    assert len(pd.read_csv(tmp_path / "rows.csv")) == told.count("    plopkit run")


@pytest.mark.parametrize("name", ["settings.yaml", "summary.csv"])
def test_a_folder_that_lacks_a_file_is_no_row(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    whole, folder = finished(tmp_path, "paper", 1), finished(tmp_path, "paper", 2)
    (folder / name).unlink()
    assert rows([whole, folder])["seeds"].sum() == 1
    assert capsys.readouterr().err == f"{folder}: left out, there is no {name} in it\n"
