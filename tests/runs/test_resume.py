"""Interrupted runs: what is finished is kept, and the numbers are those of a run without interruption."""

import os
import shutil
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from small_runs import TWO_EPOCHS, contents, leave_out_rehearsal, small, ticks_until
from stops import recording

from plopkit import trainer
from plopkit.runs import books, evaluation, origin
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("no_pictures")


def write_bytes(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def results_of(folder: RunFolder) -> bytes:
    return folder.results_file.read_bytes()


def test_a_run_interrupted_several_times_gives_the_same_results(finished: Experiment, tmp_path: Path) -> None:
    def opened() -> Experiment:
        return Experiment.open(small(tmp_path, **TWO_EPOCHS))

    places = [tuple(place) for place in finished.folder.ticks[["step", "epoch", "iteration"]].to_numpy().tolist()]
    n_first, n_second = (len(finished.data.train_loader(step)) for step in finished.scenario.steps)  # batches an epoch
    # Within the first epoch.
    assert n_first > 2
    assert ticks_until(opened(), lambda tick: tick.iteration == 1) == places[:2]
    # After an epoch of step 0.
    assert ticks_until(opened(), lambda tick: tick.epoch_done) == places[2:n_first]
    # Within its second epoch.
    assert ticks_until(opened(), lambda tick: tick.iteration == n_first) == places[n_first : n_first + 1]

    class CrashError(Exception):
        """The code that draws the ticks fails."""

    def crash() -> None:
        for tick in opened().ticks():
            if (tick.step, tick.epoch) == (1, 1):
                raise CrashError

    with pytest.raises(CrashError):
        crash()
    last = opened()
    (last.folder.checkpoints / ".step-1.training.pt.123.part").write_bytes(b"half")  # of a process that was killed
    assert n_second > 1
    assert ticks_until(last) == places[2 * n_first + n_second + 1 :]
    assert results_of(last.folder) == results_of(finished.folder)
    for name in ("loss_ce", "loss_pod", "iteration", "step"):
        assert last.folder.ticks[name].equals(finished.folder.ticks[name])
    for index in (0, 1):
        found, expected = (StepStore(e.folder.checkpoints, index).weights() for e in (last, finished))
        assert all(torch.equal(found[name], expected[name]) for name in expected | found)
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("*.training.*"))


@pytest.mark.parametrize(("module", "function"), [(evaluation, "evaluate"), (books, "replace_text")])
def test_a_crash_between_checkpoint_and_results_costs_no_training(
    finished: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: ModuleType, function: str
) -> None:
    settings = small(tmp_path, **TWO_EPOCHS)
    original, calls = getattr(module, function), []

    def crash(*args: Any, **options: Any) -> Any:
        calls.append(args)
        if (module is books and args[0].name != "results.csv") or len(calls) < 2:
            return original(*args, **options)
        raise RuntimeError("the power goes")

    with monkeypatch.context() as patch:
        patch.setattr(module, function, crash)
        with pytest.raises(RuntimeError, match="power"):
            run(settings, progress=False)
    opened = Experiment.open(settings)
    evaluated = opened.folder.evaluated()
    assert evaluated == (0 if module is books else 1)
    assert {step for step, *_ in ticks_until(opened)} == ({1} if evaluated == 0 else set())
    assert results_of(opened.folder) == results_of(finished.folder)
    assert opened.folder.examples["predictions"].shape[0] == 2


def test_a_run_killed_at_any_moment_leaves_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before, between and after any two changes to its files, and in the middle of each append.

    There are more than a hundred such moments: here every fourth, in `make torture` each of them.
    """
    monkeypatch.setattr(trainer, "time", SimpleNamespace(perf_counter=lambda: 0.0))  # seconds are in the tables
    monkeypatch.setattr(origin, "_date", lambda: "2026-01-01 00:00:00 UTC")
    leave_out_rehearsal(monkeypatch)
    settings = small(tmp_path, "emoji 10-5 overlap", "mib", optim__epochs=2, data__val_scenes=8)
    with recording(tmp_path) as moments:
        folder = run(settings, progress=False)
    expected = contents(tmp_path, seals=True)
    summary, ticks = folder.summary, folder.ticks
    assert "seconds" in ticks and ticks["loss_kd"].isna().any()
    assert len(moments) > 50
    for left in moments[:: 1 if os.environ.get("PLOPKIT_TORTURE") else 4]:
        shutil.rmtree(tmp_path)
        for name, content in left.items():
            write_bytes(tmp_path / name, content)
        seen = folder.first_steps(folder.evaluated())
        if seen.n_steps:  # what a widget shows meanwhile
            assert seen.summary["step"].tolist() == list(range(seen.n_steps))
            pd.testing.assert_frame_equal(
                seen.ticks, ticks[ticks["step"] < seen.n_steps][list(seen.ticks)], check_dtype=False
            )
            assert len(seen.examples["predictions"]) == seen.n_steps
        run(settings, progress=False)
        assert contents(tmp_path, seals=True) == expected
    pd.testing.assert_frame_equal(folder.summary, summary)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_epoch(
    finished: Experiment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = small(tmp_path, **TWO_EPOCHS)
    n = len(finished.data.train_loader(finished.scenario.steps[0]))
    original = trainer.poly

    def explode(lr: float, iteration: int, *others: float) -> float:
        return original(lr, iteration, *others) if iteration < n else 1e30

    with monkeypatch.context() as patch:
        patch.setattr(trainer, "poly", explode)
        message = rf"the loss term 'ce' is (nan|inf) in step 0, epoch 1, iteration {n + 1}; lower optim.lr"
        with pytest.raises(FloatingPointError, match=message):
            run(settings, progress=False)
    (shared,) = (settings.out / ".step0").iterdir()
    saved = StepStore(shared, 0).load_epoch()
    assert saved is not None
    training, _ = saved
    assert training["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in training["net"].values())
    opened = Experiment.open(settings)
    assert ticks_until(opened)[0] == (0, 1, n)
    assert results_of(opened.folder) == results_of(finished.folder)


@pytest.mark.parametrize("method", ["lwf-mc", "ewc", "pi", "rw"])
def test_a_method_that_trains_its_own_step_0_resumes(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted after each epoch: the same weights and regularizers' states as without interruption."""
    ticks_until(Experiment.open(small(tmp_path / "a", method="ft", **TWO_EPOCHS)))  # its step 0 must not be used
    straight = Experiment.open(small(tmp_path / "a", method=method, **TWO_EPOCHS))
    assert {step for step, *_ in ticks_until(straight)} == {0, 1}
    leave_out_rehearsal(monkeypatch)
    for _ in range(8):
        resumed = Experiment.open(small(tmp_path / "b", method=method, **TWO_EPOCHS))
        if not ticks_until(resumed, lambda tick: tick.epoch_done):
            break
    for index in range(2):
        stores = [StepStore(e.folder.checkpoints, index) for e in (straight, resumed)]
        for read in (StepStore.weights, StepStore.state):
            found, expected = (read(store) for store in stores)
            assert found.keys() == expected.keys()
            assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
        assert (stores[0].state() == {}) == (method == "lwf-mc")
    assert straight.folder.results["iou"].tolist() == resumed.folder.results["iou"].tolist()
    if method != "lwf-mc":
        assert straight.folder.ticks.query("step == 1")["loss_penalty"].gt(0).any()
