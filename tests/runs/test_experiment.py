"""Whole runs: the files that they leave, and that the same settings give the same numbers."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_runs import TWO_EPOCHS, contents, small

from plopkit.metrics import PER_STEP, iou
from plopkit.runs import experiment
from plopkit.runs.experiment import Experiment, run
from plopkit.scenario import IGNORE, Scenario
from plopkit.settings import from_yaml
from plopkit.support import seals
from plopkit.trainer import evaluate

# The files


def test_a_run_leaves_the_documented_files_and_no_others(finished: Experiment) -> None:
    assert set(contents(finished.folder.path)) == {
        "settings.yaml",
        "data.txt",
        "results.csv",
        "summary.csv",
        "ticks.csv",
        "examples.npz",
        *(f"examples/step-{k}.npz" for k in (0, 1)),
        ".lock",
        *(f"checkpoints/step-{k}.{ending}" for k in (0, 1) for ending in ("safetensors", "ticks.json")),
        *(f"pictures/{name}.png" for name in ("curves", "losses", "predictions")),
    }
    shared = contents(finished.settings.out / ".step0")
    assert sorted(name.split("/")[1] for name in shared) == [".lock", "step-0.safetensors", "step-0.ticks.json"]
    paths = [path for path in finished.settings.out.rglob("*") if path.is_file() and path.suffix != ".sha256"]
    unsealed = {path.name for path in paths if seals.sealed_digests(path) != (seals.digest_of(path),)}
    assert unsealed == {".lock"}
    assert len(list(finished.settings.out.rglob(".*.sha256"))) == len([p for p in paths if p.name != ".lock"])
    modes = {path.stat().st_mode & 0o777 for path in finished.folder.path.rglob("*.*") if path.is_file()}
    assert len(modes) == 1


def test_settings_yaml_holds_the_settings(finished: Experiment) -> None:
    assert from_yaml(finished.folder.path / "settings.yaml") == finished.settings == finished.folder.settings


def test_results_have_a_row_per_step_and_class(finished: Experiment) -> None:
    table = finished.folder.results
    assert list(table) == "scenario method seed step label name learned_at iou accuracy pixels".split()
    assert set(table["scenario"]) == {"emoji 15-5 overlap"}
    assert (set(table["method"]), set(table["seed"])) == ({"plop"}, {0})
    assert table["label"].tolist() == [*range(16), *range(21)]
    assert table["step"].tolist() == [0] * 16 + [1] * 21
    assert table["learned_at"].tolist() == [0] * 32 + [1] * 5
    names = finished.data.val.classes
    assert table["name"].tolist() == [names[label] for label in table["label"]]
    assert table["iou"].between(0, 100).all()
    assert (table["accuracy"] >= table["iou"] - 1e-6).all()


def test_pixels_are_counted_on_the_evaluated_images(finished: Experiment) -> None:
    table = finished.folder.results
    for step in finished.scenario.steps:
        counts: dict[int, int] = dict.fromkeys(step.seen, 0)
        for index in range(len(finished.data.val)):
            labels = finished.data.val.read(index).mask.flatten().tolist()
            if set(labels) & set(step.seen) - {0}:
                for label in labels:
                    if label != IGNORE:
                        counts[label if label in step.seen else 0] += 1
        assert table.loc[table["step"] == step.index, "pixels"].tolist() == [counts[label] for label in step.seen]


def test_the_summary_holds_the_means_of_the_groups(finished: Experiment) -> None:
    table, results = finished.folder.summary, finished.folder.results
    columns = "scenario method seed step old new all old_nobg all_nobg avg".split()
    assert list(table) == [*columns, *PER_STEP]
    assert table["step"].tolist() == [0, 1]
    first, last = (results.loc[results["step"] == k, "iou"].to_numpy() for k in (0, 1))
    expected = [
        [first.mean(), np.nan, first.mean(), first[1:].mean(), first[1:].mean(), first.mean()],
        [last[:16].mean(), last[16:].mean(), last.mean(), last[1:16].mean(), last[1:].mean()],
    ]
    expected[1].append((first.mean() + last.mean()) / 2)
    np.testing.assert_allclose(table[columns[4:]].to_numpy(float), expected, atol=2e-6)


def test_ticks_have_a_row_per_iteration(finished: Experiment) -> None:
    table = finished.folder.ticks
    assert set(table) == {"step", "epoch", "iteration", "lr", "seconds", "loss_ce", "loss_pod"}
    for step, rows in table.groupby("step"):
        batches = len(finished.data.train_loader(finished.scenario.steps[int(step)]))
        assert rows["iteration"].tolist() == list(range(2 * batches))
        assert rows["epoch"].tolist() == [0] * batches + [1] * batches
        first = finished.settings.optim.lr if step == 0 else finished.settings.optim.lr_later
        poly = [first * (1 - i / (2 * batches)) ** 0.9 for i in range(2 * batches)]
        np.testing.assert_allclose(rows["lr"], poly, atol=1e-6)
    assert table["loss_pod"].isna().tolist() == (table["step"] == 0).tolist()
    assert (table["seconds"] > 0).all()


def test_pictures_are_not_blank(finished: Experiment) -> None:
    for path in finished.folder.pictures.glob("*.png"):
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert min(pixels.shape) > 200
        assert pixels.std() > 10


def test_the_net_of_a_step_gives_the_stored_predictions_and_results(finished: Experiment) -> None:
    examples = finished.folder.examples
    table = finished.folder.results
    assert examples["predictions"].shape == (2, *examples["masks"].shape)
    assert list(examples["names"]) == list(finished.data.val.classes)
    order = np.array(finished.scenario.order)
    mean = torch.tensor([0.485, 0.456, 0.406])[:, None, None]
    std = torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    for step in finished.scenario.steps:
        net = finished.net(step.index).eval()
        assert net.classes == ((16,), (16, 5))[step.index]
        for place, stem in enumerate(examples["stems"]):
            pair = finished.data.val.read(finished.data.val.stems.index(stem))
            assert (examples["images"][place] == pair.image.numpy()).all()
            assert (examples["masks"][place] == pair.mask.numpy()).all()
            image = (pair.image.float() / 255 - mean) / std
            with torch.no_grad():
                channels = net(image[None]).logits[0].argmax(0).numpy()
            assert (order[channels] == examples["predictions"][step.index, place]).mean() > 0.999
        counts = evaluate(net, finished.data.eval_loader(step), step.n_seen)
        rows = table[table["step"] == step.index]
        np.testing.assert_allclose(rows["iou"], iou(counts.numpy()), atol=1e-6)


# The same settings once more


def test_a_finished_run_is_read_back(finished: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(finished.settings.out)
    times = {path: path.stat().st_mtime_ns for path in finished.settings.out.rglob("*") if path.is_file()}
    monkeypatch.setattr(experiment, "check_room", lambda *_: pytest.fail("a finished run needs no disk space"))
    assert list(Experiment.open(finished.settings).ticks()) == []
    assert run(finished.settings, progress=False) == finished.folder
    assert contents(finished.settings.out) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_deleted_picture_is_drawn_again(finished: Experiment) -> None:
    path = finished.folder.pictures / "losses.png"
    before = path.read_bytes()
    path.unlink()
    run(finished.settings, progress=False)
    assert path.read_bytes() == before


@pytest.mark.usefixtures("no_pictures")
def test_a_seed_determines_the_results(finished: Experiment, tmp_path: Path) -> None:
    torch.manual_seed(99)  # the global generator's state must not matter
    repeated = run(small(tmp_path, **TWO_EPOCHS), progress=False)
    for name in ("results.csv", "summary.csv"):
        assert (repeated.path / name).read_bytes() == (finished.folder.path / name).read_bytes()
    columns = ["loss_ce", "loss_pod", "lr"]
    pd.testing.assert_frame_equal(repeated.ticks[columns], finished.folder.ticks[columns])
    another_seed = run(small(tmp_path, seed=1), progress=False)
    assert not another_seed.results["iou"].equals(repeated.results["iou"])
    assert another_seed.path != repeated.path


# Opening


def test_the_constructor_reads_and_writes_nothing(tmp_path: Path) -> None:
    unopened = Experiment(small(tmp_path / "out", "voc 15-5 overlap", data__root=tmp_path / "missing"))
    assert unopened.scenario == Scenario.parse("voc 15-5 overlap")
    assert contents(tmp_path) == {}
    with pytest.raises(FileNotFoundError, match="missing: no such folder"):
        unopened.ticks().__next__()
    assert contents(tmp_path) == {}


def test_opening_trains_nothing_and_leaves_the_global_generator_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    opened = Experiment.open(small(tmp_path))
    assert torch.equal(torch.rand(1), first)
    assert set(contents(opened.folder.path)) == {"settings.yaml", "data.txt"}
    assert opened.scenario == Scenario.parse("emoji 15-5 overlap")
    assert opened.folder.evaluated() == 0


@pytest.mark.usefixtures("no_pictures")
def test_a_step_is_retrained_without_changing_the_run(finished: Experiment) -> None:
    before = contents(finished.settings.out)
    net, ticks = finished.retrain_step(1)
    assert net.classes == (16, 5)
    losses = [tick.losses["ce"] for tick in ticks]
    expected = finished.folder.ticks.query("step == 1")["loss_ce"]
    np.testing.assert_allclose(losses, expected, atol=1e-6)
    final = finished.net(1).state_dict()
    assert all(torch.equal(tensor, final[name]) for name, tensor in net.state_dict().items())
    assert contents(finished.settings.out) == before
