"""A run's folder: locked and read."""

import errno
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from filelock import FileLock
from small_runs import small

from plopkit.runs.folder import RunFolder
from plopkit.runs.opening import open_folder
from plopkit.runs.tables import REQUIRED_COLUMNS
from plopkit.support.files import atomic_write, write_arrays, write_table, write_text


def results_table(**columns: Any) -> pd.DataFrame:
    """A table with all columns of `results.csv`: these, and 0 in the others; its data set is unknown here."""
    table = pd.DataFrame(columns)
    others = {name: "0" if kind is str else 0 for name, kind in REQUIRED_COLUMNS.items() if name not in table}
    return table.assign(**others | ({} if "scenario" in table else {"scenario": "elsewhere 1-1 overlap"}))


# Locked


def test_a_second_process_cannot_work_on_the_same_run(tmp_path: Path) -> None:
    folder = open_folder(small(tmp_path), "data")
    with folder.locked(), folder.locked():  # the same process may open its own run again
        pass
    fcntl = pytest.importorskip("fcntl")  # not on Windows
    with open(folder.path / ".lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        message = f"{folder.path.name}: another process is working on this run; wait for it, or stop it"
        with pytest.raises(ValueError, match=message), folder.locked():
            pass
    with folder.locked():
        pass


def test_a_lock_that_a_grid_holds_for_a_moment_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plopkit.runs.folder.LOOKED_AT", 60.0)
    folder = open_folder(small(tmp_path), "data")
    look = FileLock(folder.lock_file, thread_local=False)
    look.acquire()
    threading.Timer(0.1, look.release).start()
    with folder.locked():
        assert not look.is_locked


def test_a_file_system_without_locks_gives_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    folder = open_folder(small(tmp_path), "data")
    message = f"{folder.path.name}: cannot be locked here .*; make sure that no other process works on this run"
    with pytest.warns(UserWarning, match=message), folder.locked():
        pass


def test_locking_twice_keeps_the_parts_of_this_process(tmp_path: Path) -> None:
    folder = open_folder(small(tmp_path), "data")
    with folder.locked(), atomic_write(folder.path / "a.txt") as part:
        part.write_text("a")
        with folder.locked():
            assert part.is_file()
    assert (folder.path / "a.txt").read_text() == "a"


# Read


def test_examples_are_read_back(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    write_arrays(folder.examples_file, masks=np.zeros((2, 3), int), names=np.array(["é", "b"]))
    with pytest.raises(
        FileNotFoundError, match=r"examples: no predictions in it; run the command .*, or copy the whole"
    ):
        _ = folder.examples
    for step in range(11):  # step 10 comes after step 9
        write_arrays(folder.predictions_file(step), predictions=np.full((2, 3), step))
    assert folder.examples["names"].tolist() == ["é", "b"]
    for n_steps in (0, 2, 11, 12, None):
        found = RunFolder(tmp_path, n_steps).examples["predictions"]
        assert found.shape[1:] == (2, 3)
        assert found[:, 0, 0].tolist() == list(range(11))[:n_steps]
    folder.predictions_file(4).unlink()
    assert len(folder.first_steps(4).examples["predictions"]) == 4
    with pytest.raises(FileNotFoundError, match=r"step-4\.npz: missing; run the command of this run again"):
        _ = folder.examples


@pytest.mark.parametrize("name", ["results", "summary", "ticks", "settings", "examples"])
def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=rf"^\S+{name}\.\w+: missing; run the command of this run again"):
        getattr(RunFolder(tmp_path), name)


def test_copies_among_the_examples_are_left_alone(tmp_path: Path) -> None:
    """As synchronisers and file managers make them."""
    folder = RunFolder(tmp_path)
    write_arrays(folder.examples_file, masks=np.zeros((2, 3), int))
    for name in ("step-0", "step-0 (1)", "step-0-conflict"):
        write_arrays(folder.predictions / f"{name}.npz", predictions=np.zeros((2, 3), int))
    assert folder.predicted_steps() == [0]
    assert folder.examples["predictions"].shape == (1, 2, 3)


def test_predictions_of_earlier_versions_are_read(tmp_path: Path) -> None:
    """They kept those of all steps in one file; a run that continues has some of each kind."""
    folder = RunFolder(tmp_path)
    write_arrays(folder.examples_file, predictions=np.arange(4)[:, None])
    assert folder.examples["predictions"].tolist() == [[0], [1], [2], [3]]
    write_arrays(folder.predictions_file(2), predictions=np.array([20]))  # step 2 was not in results.csv: once more
    assert folder.examples["predictions"].tolist() == [[0], [1], [20]]
    assert folder.first_steps(2).examples["predictions"].tolist() == [[0], [1]]


def test_class_names_that_look_like_numbers_or_nothing_stay_names(tmp_path: Path) -> None:
    names = ["NA", "null", "007", "1e3", "None"]
    ious = [1.0, np.nan, 2, 3, 4]
    write_table(tmp_path / "results.csv", results_table(label=range(5), name=names, iou=ious))
    table = RunFolder(tmp_path).results
    assert table["name"].tolist() == names
    assert table["iou"].isna().tolist() == [False, True, False, False, False]


def test_only_the_first_steps_are_read(tmp_path: Path) -> None:
    columns = {"step": [0, 1, 1, 2, 2], "label": [0, 0, 1, 0, 1], "learned_at": [0, 0, 1, 0, 1]}
    write_table(tmp_path / "results.csv", results_table(**columns))
    for name in ("summary.csv", "ticks.csv"):
        write_table(tmp_path / name, pd.DataFrame({"step": [0, 1, 2]}))
    write_arrays(tmp_path / "examples.npz", predictions=np.arange(3))
    whole = RunFolder(tmp_path)
    first = whole.first_steps(2)
    assert (whole.evaluated(), first.evaluated()) == (3, 2)
    assert first.results["step"].tolist() == [0, 1, 1]
    assert first.summary["step"].tolist() == first.ticks["step"].tolist() == [0, 1]
    assert first.examples["predictions"].tolist() == [0, 1]
    assert first != whole and first == RunFolder(tmp_path, n_steps=2)


@pytest.mark.parametrize("n_bytes", [0, 20, 700])
def test_damaged_examples_are_named(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "examples.npz"
    write_arrays(path, images=np.random.default_rng(0).integers(0, 255, 2000))
    path.write_bytes(path.read_bytes()[:n_bytes])
    with pytest.raises(ValueError, match=r"examples\.npz: damaged \(.*\); run the command of this run again"):
        _ = RunFolder(tmp_path).examples
    write_arrays(path, masks=np.zeros(1))
    (tmp_path / "examples").mkdir()
    (tmp_path / "examples" / "step-0.npz").write_bytes(b"half")
    with pytest.raises(ValueError, match=r"step-0\.npz: damaged \(.*\); run the command of this run again"):
        _ = RunFolder(tmp_path).examples


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (" ", "No columns to parse from file"),
        ("a,b\n1,2\n", "no column 'scenario'"),
        (results_table(step=[0]).drop(columns="iou").to_csv(index=False), "no column 'iou'"),
        (results_table(step=[]).to_csv(index=False), "no rows"),
        (results_table(step=[0, 1, 0], label=[2, 2, 2]).to_csv(index=False), "a step's class twice"),
        (results_table(step=[0, 1]).to_csv(index=False).replace("\n1,", "\n2,"), "rows are missing"),
        (results_table(step=[0, 1, 1], label=[0, 0, 1]).to_csv(index=False), "rows are missing"),
        (results_table(step=[0, 0, 1], label=[0, 1, 1]).to_csv(index=False), "rows are missing"),
        (results_table(step=[0], learned_at=[1]).to_csv(index=False), "rows are missing"),
        (results_table(step=[0], scenario=["voc 15-5 overlap"]).to_csv(index=False), "rows are missing"),
        (results_table(step=["first"]).to_csv(index=False), "invalid literal"),
    ],
    ids=[
        *("empty", "another table", "a column is missing", "no rows", "a class twice", "a step is missing"),
        *("an old class is missing", "a class is missing later", "learnt later", "of another scenario", "no number"),
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str, problem: str) -> None:
    write_text(tmp_path / "results.csv", text)
    with pytest.raises(
        ValueError, match=rf"results\.csv: damaged \(.*{problem}.*\); run the command of this run again"
    ):
        RunFolder(tmp_path).evaluated()


def test_folders_with_equal_paths_are_equal(tmp_path: Path) -> None:
    assert RunFolder(str(tmp_path)) == RunFolder(tmp_path)
    assert len({RunFolder(str(tmp_path)), RunFolder(tmp_path)}) == 1


@pytest.mark.parametrize("column", ["iou", "accuracy"])
@pytest.mark.parametrize("value", ["inf", "-inf", "1e300", "-1", "100.1"])
def test_numbers_that_no_run_has_are_damage(tmp_path: Path, column: str, value: str) -> None:
    table = results_table(step=[0])
    table[column] = value
    write_text(tmp_path / "results.csv", table.to_csv(index=False))
    with pytest.raises(ValueError, match=rf"results\.csv: damaged \(a value of {column} that is not 0 to 100\)"):
        _ = RunFolder(tmp_path).results


@pytest.mark.parametrize(("column", "value"), [("step", -1), ("label", -1), ("pixels", -1), ("step", 10**25)])
def test_counts_that_no_run_has_are_damage(tmp_path: Path, column: str, value: int) -> None:
    table = results_table(step=[0]).astype({column: object})
    table[column] = value
    write_text(tmp_path / "results.csv", table.to_csv(index=False))
    with pytest.raises(ValueError, match=r"results\.csv: damaged \("):
        RunFolder(tmp_path).evaluated()


@pytest.mark.parametrize("name", ["summary", "ticks"])
@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", "step\nfirst\n", 'step\n"1', "step\n" + "9" * 30])
def test_a_damaged_further_table_is_named(tmp_path: Path, name: str, text: str) -> None:
    write_text(tmp_path / f"{name}.csv", text or " ")
    with pytest.raises(ValueError, match=rf"{name}\.csv: damaged \(.*\); run the command of this run again"):
        getattr(RunFolder(tmp_path), name)


@pytest.mark.parametrize("column", ["epoch", "iteration", "lr", "seconds", "loss_ce"])
def test_ticks_that_are_no_numbers_are_damaged(tmp_path: Path, column: str) -> None:
    """Text in one row of several leaves a column of numbers and texts."""
    row = {"step": 0, "epoch": 0, "iteration": 0, "lr": 0.1, "seconds": 1.0, "loss_ce": 0.5}
    rows = [row, row | {"iteration": 1, column: ":"}, row | {"iteration": 2}]
    text = "\n".join([",".join(row), *(",".join(map(str, values.values())) for values in rows)])
    write_text(tmp_path / "ticks.csv", text + "\n")
    with pytest.raises(ValueError, match=r"ticks\.csv: damaged \(.*\); run the command of this run again"):
        _ = RunFolder(tmp_path).ticks


def test_arrays_that_unpack_to_gigabytes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_arrays(tmp_path / "examples.npz", images=np.zeros(10_000))
    monkeypatch.setattr("plopkit.runs.folder.LARGEST_ARRAYS", 70_000)
    with pytest.raises(ValueError, match=r"examples\.npz: damaged \(it unpacks to 80,128 bytes"):
        _ = RunFolder(tmp_path).examples


def test_arrays_that_cannot_be_opened_are_not_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_arrays(tmp_path / "examples.npz", images=np.zeros(10))

    def failing(*_: object, **named: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(np, "load", failing)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        _ = RunFolder(tmp_path).examples
