"""Whole runs: what they leave, that they repeat, resume, share step 0 and are read back."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from small_runs import contents, small

from plopkit import trainer
from plopkit.datasets.steps import Selection
from plopkit.metrics import iou
from plopkit.runs import experiment
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import summarise
from plopkit.scenario import Scenario
from plopkit.settings import from_yaml
from plopkit.trainer import Tick, evaluate

TWO_EPOCHS = {"optim__epochs": 2, "optim__epochs_later": 2, "optim__batch": 4}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    """PLOP on emoji 15-5, two epochs a step, straight through."""
    opened = Experiment.open(small(tmp_path_factory.mktemp("straight"), **TWO_EPOCHS))
    opened.run(progress=False)
    return opened


def results_of(opened: Experiment) -> bytes:
    return (opened.folder.path / "results.csv").read_bytes()


def taken(opened: Experiment, stop: Callable[[Tick], bool] = lambda tick: False) -> list[tuple[int, int, int]]:
    """(step, epoch, iteration) of the ticks up to the first that ``stop`` says, then the generator is closed."""
    ticks, seen = opened.ticks(), []
    for tick in ticks:
        seen.append((tick.step, tick.epoch, tick.iteration))
        if stop(tick):
            break
    ticks.close()  # type: ignore[attr-defined]
    return seen


# What a run leaves


def test_a_run_leaves_the_promised_files_and_no_others(finished: Experiment) -> None:
    assert set(contents(finished.folder.path)) == {
        "settings.yaml",
        "data.txt",
        "results.csv",
        "summary.csv",
        "ticks.csv",
        "examples.npz",
        ".lock",
        *(f"checkpoints/step-{k}.{ending}" for k in (0, 1) for ending in ("safetensors", "ticks.json")),
        *(f"pictures/{name}.png" for name in ("curves", "losses", "predictions")),
    }
    shared = contents(finished.settings.out / ".step0")
    assert {name.split("/")[1] for name in shared} == {"step-0.safetensors", "step-0.ticks.json"}
    assert len(shared) == 2
    modes = {path.stat().st_mode & 0o777 for path in finished.folder.path.rglob("*.*") if path.is_file()}
    assert len(modes) == 1


def test_settings_yaml_holds_the_settings(finished: Experiment) -> None:
    assert from_yaml(finished.folder.path / "settings.yaml") == finished.settings == finished.folder.settings


def test_results_have_one_row_per_step_and_class(finished: Experiment) -> None:
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
                    if label != 255:
                        counts[label if label in step.seen else 0] += 1
        assert table.loc[table["step"] == step.index, "pixels"].tolist() == [counts[label] for label in step.seen]


def test_summary_is_the_groups_means(finished: Experiment) -> None:
    table, results = finished.folder.summary, finished.folder.results
    assert list(table) == "scenario method seed step old new all old_nobg all_nobg avg".split()
    assert table["step"].tolist() == [0, 1]
    first, last = (results.loc[results["step"] == k, "iou"].to_numpy() for k in (0, 1))
    wanted = [
        [first.mean(), np.nan, first.mean(), first[1:].mean(), first[1:].mean(), first.mean()],
        [last[:16].mean(), last[16:].mean(), last.mean(), last[1:16].mean(), last[1:].mean()],
    ]
    wanted[1].append((first.mean() + last.mean()) / 2)
    np.testing.assert_allclose(table.iloc[:, 4:].to_numpy(float), wanted, atol=2e-6)


def test_ticks_tell_every_iteration(finished: Experiment) -> None:
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


def test_pictures_are_pictures(finished: Experiment) -> None:
    for path in finished.folder.pictures.iterdir():
        with Image.open(path) as picture:
            pixels = np.asarray(picture.convert("L"))
        assert min(pixels.shape) > 200
        assert pixels.std() > 10


def test_the_net_of_a_step_makes_the_stored_predictions_and_results(finished: Experiment) -> None:
    examples = finished.folder.examples
    table = finished.folder.results
    assert examples["predictions"].shape == (2, *examples["masks"].shape)
    assert list(examples["names"]) == list(finished.data.val.classes)
    order = np.array(finished.scenario.order)
    for step in finished.scenario.steps:
        net = finished.net(step.index).eval()
        assert net.classes == ((16,), (16, 5))[step.index]
        for place, stem in enumerate(examples["stems"]):
            pair = finished.data.val.read(finished.data.val.stems.index(stem))
            assert (examples["images"][place] == pair.image.numpy()).all()
            assert (examples["masks"][place] == pair.mask.numpy()).all()
            image = pair.image.float() / 255
            image = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
                :, None, None
            ]
            with torch.no_grad():
                channels = net(image[None]).logits[0].argmax(0).numpy()
            assert (order[channels] == examples["predictions"][step.index, place]).mean() > 0.999
        counts = evaluate(net, finished.data.eval_loader(step), step.n_seen)
        rows = table[table["step"] == step.index]
        np.testing.assert_allclose(rows["iou"], iou(counts.numpy()), atol=1e-6)


# The same again


def test_a_finished_run_is_read_back(finished: Experiment, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(finished.settings.out)
    times = {path: path.stat().st_mtime_ns for path in finished.settings.out.rglob("*") if path.is_file()}
    monkeypatch.setattr(experiment, "check_room", lambda *_: pytest.fail("room is for runs that write"))
    again = Experiment.open(finished.settings)
    assert list(again.ticks()) == []
    assert run(finished.settings, progress=False) == finished.folder
    assert contents(finished.settings.out) == before
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_picture_that_was_deleted_is_drawn_again(finished: Experiment) -> None:
    path = finished.folder.pictures / "losses.png"
    before = path.read_bytes()
    path.unlink()
    run(finished.settings, progress=False)
    assert path.read_bytes() == before


@pytest.mark.usefixtures("no_pictures")
def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(finished: Experiment, tmp_path: Path) -> None:
    torch.manual_seed(99)  # what was drawn before does not matter
    twin = Experiment.open(small(tmp_path, **TWO_EPOCHS))
    twin.run(progress=False)
    for name in ("results.csv", "summary.csv"):
        assert (twin.folder.path / name).read_bytes() == (finished.folder.path / name).read_bytes()
    columns = ["loss_ce", "loss_pod", "lr"]
    pd.testing.assert_frame_equal(twin.folder.ticks[columns], finished.folder.ticks[columns])
    other = Experiment.open(small(tmp_path, seed=1))
    other.run(progress=False)
    assert not other.folder.results["iou"].equals(twin.folder.results["iou"])
    assert other.folder.path != twin.folder.path


# Stop and resume


@pytest.mark.usefixtures("no_pictures")
def test_a_run_stopped_again_and_again_ends_as_one_straight_through(finished: Experiment, tmp_path: Path) -> None:
    def opened() -> Experiment:
        return Experiment.open(small(tmp_path, **TWO_EPOCHS))

    first = [(step, epoch, i) for step, epoch, i in finished.folder.ticks[["step", "epoch", "iteration"]].to_numpy()]
    n = len(finished.data.train_loader(finished.scenario.steps[0]))
    later = len(finished.data.train_loader(finished.scenario.steps[1]))
    # In the first epoch: nothing is kept, it begins anew.
    assert taken(opened(), lambda tick: tick.iteration == 1) == first[:2]
    # After an epoch of step 0.
    assert taken(opened(), lambda tick: tick.epoch_done) == first[:n]
    # In the middle of its second epoch.
    assert taken(opened(), lambda tick: tick.iteration == n) == first[n : n + 1]

    class Crash(Exception):
        """The notebook's cell dies."""

    def consume() -> None:
        for tick in opened().ticks():
            if (tick.step, tick.epoch) == (1, 1):
                raise Crash

    with pytest.raises(Crash):
        consume()
    last = opened()
    (last.folder.checkpoints / ".step-1.training.pt.123.part").write_bytes(b"half")  # of a process that was killed
    assert later > 1
    assert taken(last) == first[2 * n + later :]  # one epoch of step 1 was kept
    assert results_of(last) == results_of(finished)
    for name in ("loss_ce", "loss_pod", "iteration", "step"):
        assert last.folder.ticks[name].equals(finished.folder.ticks[name])
    for k in (0, 1):
        mine, straight = (StepStore(one.folder.checkpoints, k).weights() for one in (last, finished))
        assert all(torch.equal(mine[name], straight[name]) for name in straight | mine)
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("*.training.pt"))


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("where", ["evaluate", "write_table"])
def test_a_crash_between_checkpoint_and_results_costs_no_training(
    finished: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    settings = small(tmp_path, **TWO_EPOCHS)
    real, calls = getattr(experiment, where), []

    def crash(*given: Any, **named: Any) -> Any:
        calls.append(given)
        if (where == "write_table" and given[0].name != "results.csv") or len(calls) < 2:
            return real(*given, **named)
        raise RuntimeError("the power goes")

    with monkeypatch.context() as patch:
        patch.setattr(experiment, where, crash)
        with pytest.raises(RuntimeError, match="power"):
            run(settings, progress=False)
    opened = Experiment.open(settings)
    evaluated = opened.folder.evaluated()
    assert evaluated == (0 if where == "write_table" else 1)
    assert {step for step, *_ in taken(opened)} == ({1} if evaluated == 0 else set())
    assert results_of(opened) == results_of(finished)
    assert opened.folder.examples["predictions"].shape[0] == 2


@pytest.mark.usefixtures("no_pictures")
def test_a_loss_that_is_not_a_number_stops_and_keeps_the_last_epoch(
    finished: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(tmp_path, **TWO_EPOCHS)
    n = len(finished.data.train_loader(finished.scenario.steps[0]))
    real = trainer.poly

    def explode(lr: float, iteration: int, of: int, power: float = 0.9) -> float:
        return real(lr, iteration, of, power) if iteration < n else 1e30

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "poly", explode)
        told = rf"the loss term 'ce' is (nan|inf) in step 0, epoch 1, iteration {n + 1}; lower optim.lr"
        with pytest.raises(FloatingPointError, match=told):
            run(settings, progress=False)
    (shared,) = (settings.out / ".step0").iterdir()
    kept = StepStore(shared, 0).load_epoch()
    assert kept is not None
    assert kept[0]["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in kept[0]["net"].values())
    opened = Experiment.open(settings)
    assert taken(opened)[0] == (0, 1, n)
    assert results_of(opened) == results_of(finished)


# Step 0 is shared


@pytest.mark.usefixtures("no_pictures")
def test_step_0_is_trained_once_for_all_methods(tmp_path: Path) -> None:
    steps = {}
    for method in ("ft", "mib", "plop"):
        opened = Experiment.open(small(tmp_path, method=method))
        steps[method] = {tick[0] for tick in taken(opened)}
    assert steps == {"ft": {0, 1}, "mib": {1}, "plop": {1}}
    runs = [path for path in tmp_path.iterdir() if not path.name.startswith(".")]
    assert len(runs) == 3
    first = [RunFolder(path).results.query("step == 0")["iou"].tolist() for path in runs]
    assert first[0] == first[1] == first[2]
    assert len({(path / "checkpoints" / "step-0.safetensors").read_bytes() for path in runs}) == 1
    assert len({(path / "checkpoints" / "step-1.safetensors").read_bytes() for path in runs}) == 3
    for changed, begins in (({"optim__lr_later": 0.5}, 1), ({"optim__lr": 0.5}, 0)):
        other = Experiment.open(small(tmp_path, **changed))
        assert taken(other, lambda tick: True) == [(begins, 0, 0)]


@pytest.mark.usefixtures("no_pictures")
def test_step_0_is_shared_by_tasks_that_begin_alike_and_by_no_others(tmp_path: Path) -> None:
    one = Experiment.open(small(tmp_path))
    taken(one)
    batch = {"optim__batch": 2}
    alike = Experiment.open(small(tmp_path, "emoji 15-1 overlap", **batch))
    same = Experiment.open(small(tmp_path, **batch))
    steps = [e.scenario.steps[0] for e in (alike, same)]
    assert alike._kept(steps[0]) == same._kept(steps[1])
    for scenario in ("emoji 10-10 overlap", "emoji 15-5 disjoint", "emoji 15-5 overlap order=b", "emoji joint"):
        other = Experiment.open(small(tmp_path, scenario, **batch))
        assert other._kept(other.scenario.steps[0]) != same._kept(steps[1])


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("method", ["lwf-mc", "ewc", "pi", "rw"])
def test_methods_with_a_first_step_of_their_own(tmp_path: Path, method: str) -> None:
    """Theirs is not shared, but read back; stopped after an epoch, a run ends as one straight through."""
    taken(Experiment.open(small(tmp_path, method="ft")))
    straight = Experiment.open(small(tmp_path / "a", method=method, **TWO_EPOCHS))
    assert {tick[0] for tick in taken(straight)} == {0, 1}
    for step in straight.scenario.steps[:1]:
        assert (straight._store(step).memory() is None) == (method == "lwf-mc")
    for _ in range(8):
        stopped = Experiment.open(small(tmp_path / "b", method=method, **TWO_EPOCHS))
        if not taken(stopped, lambda tick: tick.epoch_done):
            break
    for index in range(2):
        one, other = (e.folder.net(index).state_dict() for e in (straight, stopped))
        assert all(torch.equal(one[key], other[key]) for key in one)
    assert straight.folder.results["iou"].tolist() == stopped.folder.results["iou"].tolist()
    if method != "lwf-mc":
        assert straight.folder.ticks.query("step == 1")["loss_penalty"].gt(0).any()


@pytest.mark.usefixtures("no_pictures")
def test_methods_part_ways_at_step_1(finished: Experiment, tmp_path: Path) -> None:
    ft = Experiment.open(small(tmp_path, method="ft", **TWO_EPOCHS))
    ft.run(progress=False)
    mine, plops = ft.folder.results, finished.folder.results
    assert mine.query("step == 0")["iou"].tolist() == plops.query("step == 0")["iou"].tolist()
    assert mine.query("step == 1")["iou"].tolist() != plops.query("step == 1")["iou"].tolist()
    assert "loss_pod" not in ft.folder.ticks


@pytest.mark.usefixtures("no_pictures")
def test_changed_images_are_another_run_with_a_step_0_of_its_own(
    folder_root: Callable[..., Path], tmp_path: Path
) -> None:
    root = folder_root(train=8, val=4, classes=4, size=(64, 64))
    given = {"scenario": "folder 2-1 overlap", "method": "ft", "data__root": root, "optim__batch": 2}
    Experiment.open(small(tmp_path / "out", **given)).run(progress=False)
    Image.new("RGB", (64, 64), "red").save(root / "images" / "train-00.jpg")
    with pytest.raises(
        ValueError, match="the images or masks have changed since; choose another name or out, or delete it"
    ):
        Experiment.open(small(tmp_path / "out", **given))
    again = Experiment.open(small(tmp_path / "out", name="again", **given))
    assert taken(again, lambda tick: True) == [(0, 0, 0)]


# Other scenarios


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("protocol", ["overlap", "disjoint", "sequential"])
def test_many_steps_on_ones_own_data(folder_root: Callable[..., Path], tmp_path: Path, protocol: str) -> None:
    root = folder_root(train=20, val=6, classes=6, size=(64, 72))
    classes = ["background", "NA", "null", "007", "nan", "None"]
    (root / "classes.txt").write_text("\n".join(classes), encoding="utf-8")
    scenario = f"folder 3-1 {protocol} order=2,5,1,4,3"
    settings = small(tmp_path / "out", scenario, data__root=root, optim__batch=2)
    opened = Experiment.open(settings)
    assert {step for step, *_ in taken(opened)} == {0, 1, 2}
    table = opened.folder.results
    assert [rows["label"].tolist() for _, rows in table.groupby("step")] == [
        [0, 2, 5, 1],
        [0, 2, 5, 1, 4],
        [0, 2, 5, 1, 4, 3],
    ]
    assert table["learned_at"].tolist() == [0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 2]
    assert table["name"].tolist() == [classes[label] for label in table["label"]]
    summary = opened.folder.summary
    assert summary["avg"].iloc[-1] == pytest.approx(summary["all"].mean(), abs=1e-6)
    pd.testing.assert_frame_equal(summarise(table), summary, atol=1e-6)
    examples = opened.folder.examples
    assert len(examples["predictions"]) == 3
    assert set(np.unique(examples["predictions"][0])) <= {0, 1, 2, 5}
    assert set(np.unique(examples["masks"])) <= {*range(6), 255}
    # Images are counted by the rules; `order` puts label 3 last.
    present = [set(np.unique(opened.data.train.read(i).mask)) for i in range(20)]
    for step in opened.scenario.steps:
        used = sum(step.uses(labels) for labels in present)
        assert len(opened.data.train_loader(step)) == used // 2
        assert opened.data.table()["training images"][step.index] == used
    assert opened.data.table()["new classes"].tolist() == ["null, None, NA", "nan", "007"]


@pytest.mark.usefixtures("no_pictures")
def test_a_scenario_of_one_step(tmp_path: Path) -> None:
    opened = Experiment.open(small(tmp_path, "emoji joint", "joint"))
    assert {step for step, *_ in taken(opened)} == {0}
    assert len(opened.folder.results) == 21
    summary = opened.folder.summary
    assert summary["new"].isna().all()
    assert summary["all"].tolist() == summary["old"].tolist() == summary["avg"].tolist()


def test_a_scenario_of_one_step_has_pictures(tmp_path: Path) -> None:
    folder = run(small(tmp_path, "emoji joint", "ft"), progress=False)
    assert len(list(folder.pictures.iterdir())) == 3


@pytest.mark.usefixtures("no_pictures")
def test_joint_training_sees_every_image_and_label_so_far(tmp_path: Path) -> None:
    opened = Experiment.open(small(tmp_path, method="joint", optim__epochs_later=3))
    ticks = [tick for tick in opened.ticks() if tick.step == 1]
    assert len(ticks) == 40 // 8  # all scenes, and as many epochs and as large a rate as step 0
    assert ticks[0].lr == opened.settings.optim.lr
    step = opened.scenario.steps[1]
    everything = Selection.all_seen(step, opened.data.presence[0])
    labels = {int(label) for _, target in opened.data.train_loader(step, everything) for label in target.unique()}
    assert labels <= {*range(21), 255}
    assert labels & set(range(1, 16))
    own = {int(label) for _, target in opened.data.train_loader(step) for label in target.unique()}
    assert own <= {0, *range(16, 21), 255}


@pytest.mark.usefixtures("no_pictures")
def test_the_sequential_protocol_shows_the_old_labels(tmp_path: Path) -> None:
    opened = Experiment.open(small(tmp_path, "emoji 15-5 sequential"))
    labels = {
        int(label) for _, target in opened.data.train_loader(opened.scenario.steps[1]) for label in target.unique()
    }
    assert labels & set(range(1, 16))
    assert labels & set(range(16, 21))


def test_step_0_of_the_disjoint_protocol_leaves_out_images_with_future_labels(tmp_path: Path) -> None:
    disjoint, overlap = (Experiment.open(small(tmp_path, f"emoji 15-5 {p}")) for p in ("disjoint", "overlap"))
    counts = [one.data.table()["training images"].tolist() for one in (disjoint, overlap)]
    assert counts[0][0] < counts[1][0]
    assert counts[0][1] == counts[1][1]


# Before anything is written


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"hyper": {"scales": (9,)}}, "of 64 pixels does not go through PLOP: scale 9 does not fit"),
        ({"optim__batch": 1}, "a batch of 1 images of 64 pixels does not go through PLOP"),
        ({"model__encoder": "resnt18"}, "no encoder 'resnt18'"),
        (
            {"data__scenes": 12},
            "emoji 15-5 overlap, step 1: this step has 4 training images, fewer than one batch of 8",
        ),
    ],
)
def test_what_does_not_fit_shows_before_the_training(tmp_path: Path, wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        Experiment.open(small(tmp_path / "out", **wrong))
    assert not (tmp_path / "out").exists()


def test_a_step_that_no_validation_image_shows_is_refused(folder_root: Callable[..., Path], tmp_path: Path) -> None:
    root = folder_root(train=20, val=1, classes=6, size=(64, 64))  # its labels are 1 and 2
    settings = small(tmp_path / "out", "folder 1-1 overlap order=3,1,2,4,5", data__root=root, optim__batch=2)
    with pytest.raises(ValueError, match=r"step 0: no validation image contains any of the labels seen so far, \(3,\)"):
        Experiment.open(settings)
    assert not (tmp_path / "out").exists()


def test_opening_trains_nothing_and_draws_nothing_from_the_generator(tmp_path: Path) -> None:
    torch.manual_seed(3)
    first = torch.rand(1)
    torch.manual_seed(3)
    opened = Experiment.open(small(tmp_path))
    assert torch.equal(torch.rand(1), first)
    assert set(contents(opened.folder.path)) == {"settings.yaml", "data.txt"}
    assert opened.scenario == Scenario.parse("emoji 15-5 overlap")
    assert opened.folder.evaluated() == 0


# Progress


@pytest.mark.usefixtures("no_pictures")
def test_bars_tell_step_epoch_and_losses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(small(tmp_path, optim__epochs_later=2))
    told = capsys.readouterr()
    assert told.out == ""
    for words in ("step 0/1 epoch 1/1", "step 1/1 epoch 2/2", "ce ", "pod ", "step 1: evaluation", "teacher's look"):
        assert words in told.err
    run(small(tmp_path, method="ft"), progress=False)
    assert capsys.readouterr().err == ""
