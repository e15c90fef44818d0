"""The tables of an unfinished run: the same as written as a whole, and written once."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from small_runs import contents
from stops import StoppedError, counting, stopping_at, watching

from plopkit.runs.books import Books, tick_rows
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.folder import RunFolder
from plopkit.runs.results import step_rows, summarise
from plopkit.runs.step_files import Ticks
from plopkit.scenario import Scenario
from plopkit.support.files import write_table

SCENARIO = Scenario.parse("voc 2-1 overlap")
"""19 steps, each with one more class."""


def step_ticks(index: int, n: int = 7) -> Ticks:
    """Ticks of a step; a penalty from step 3 on and a distillation loss in every second step."""
    rng = np.random.default_rng(index)

    def losses(iteration: int) -> dict[str, float]:
        named = {"ce": rng.random()}
        named |= {"kd": rng.random()} if index % 2 else {}
        return named | ({"penalty": rng.random()} if index > 2 and iteration % 3 else {})

    return [
        {"step": index, "epoch": 0, "epochs": 1, "iteration": iteration, "n_iterations": n, "losses": losses(iteration)}
        | {"lr": rng.random(), "seconds": 1.0, "epoch_done": iteration == n - 1}
        for iteration in range(n)
    ]


def rows_of(index: int) -> pd.DataFrame:
    """The rows of a step in `results.csv`; a class without pixels, and names that need quotes."""
    step = SCENARIO.steps[index]
    counts = np.random.default_rng(index).integers(0, 1000, (step.n_seen, step.n_seen))
    counts[1] = counts[:, 1] = 0
    return step_rows(SCENARIO, "plop", 3, step, counts, ['a, "b"', "null", "", *map(str, range(3, 21))])


def keep(books: Books, first: int = 0, n_steps: int = len(SCENARIO.steps)) -> None:
    """Add steps to a run's tables."""
    for index in range(first, n_steps):
        books.add(index, rows_of(index), index == len(SCENARIO.steps) - 1)


def write_whole(folder: RunFolder, ticks_of: Callable[[int], Ticks] = step_ticks) -> None:
    """The plain way: after every step all tables are written, with the rows of the steps before as they are read."""
    for step in SCENARIO.steps:
        rows = rows_of(step.index)
        if step.index:
            rows = pd.concat([folder.results, rows], ignore_index=True)
        ticks = [tick for index in range(step.index + 1) for tick in ticks_of(index)]
        write_table(folder.ticks_file, tick_rows(ticks))
        write_table(folder.summary_file, summarise(rows))
        write_table(folder.results_file, rows)


def late_ticks(index: int) -> Ticks:
    """Those of external checkpoints, and then of steps that were trained."""
    return step_ticks(index) if index > 1 else []


@pytest.mark.parametrize("ticks_of", [step_ticks, late_ticks, lambda index: []])
def test_tables_are_those_written_as_a_whole(tmp_path: Path, ticks_of: Callable[[int], Ticks]) -> None:
    keep(Books(RunFolder(tmp_path / "grown"), ticks_of))
    write_whole(RunFolder(tmp_path / "whole"), ticks_of)
    assert contents(tmp_path / "grown") == contents(tmp_path / "whole")
    assert len(contents(tmp_path / "grown")) == 3


@pytest.mark.parametrize("n_steps", [1, 4, 18])
def test_tables_are_the_same_whatever_a_killed_process_left(tmp_path: Path, n_steps: int) -> None:
    """Another process continues, with tables that are missing, damaged, of an earlier version or hold more steps."""
    keep(Books(RunFolder(tmp_path / "straight"), step_ticks))
    folder = RunFolder(tmp_path / "resumed")
    keep(Books(folder, step_ticks), n_steps=n_steps)
    done = contents(folder.path, seals=True)
    for text in (None, "", "step,a\n1", folder.ticks_file.read_text() * 2):
        for name, content in done.items():
            (folder.path / name).write_bytes(content)
        for path in (folder.summary_file, folder.ticks_file):
            path.write_text(text) if text is not None else path.unlink()
        keep(Books(folder, step_ticks), n_steps)
        assert contents(folder.path) == contents(tmp_path / "straight")


def test_a_column_that_the_file_lacks_is_added_to_all_rows(tmp_path: Path) -> None:
    """A run of an earlier version, which had fewer metrics, continues."""
    folder = RunFolder(tmp_path)
    write_table(folder.results_file, rows_of(0).drop(columns="accuracy").assign(accuracy=1.0, other="007"))
    Books(folder, step_ticks).add(1, rows_of(1).assign(dice=0.5), False)
    results = folder.results
    assert list(results)[-2:] == ["other", "dice"]
    assert results["dice"].isna().tolist() == (results["step"] == 0).tolist()
    assert results["other"].isna().tolist() == (results["step"] == 1).tolist()
    assert folder.results_file.read_text().splitlines()[1].endswith(",1.000000,007,")
    assert results["name"].tolist()[:2] == ['a, "b"', "null"]


def test_every_byte_of_a_table_is_written_once(tmp_path: Path) -> None:
    """What a step writes is what it adds, however many steps there were before."""
    folder = RunFolder(tmp_path)
    books = Books(folder, lambda index: step_ticks(index % 2 + 4))  # no loss terms that come later
    tables = [folder.ticks_file, folder.summary_file, folder.results_file]
    keep(books, n_steps=2)
    for index in range(2, 19):
        before = {path.name: path.stat().st_size for path in tables}
        with counting() as written:
            keep(books, index, index + 1)
        for path in tables:
            assert written.pop(path.name) == path.stat().st_size - before[path.name]
        assert sum(written.values()) < 1000  # the notes that an append is unfinished, and the seals
    assert max(before.values()) > 10 * 18


def test_a_step_reads_no_earlier_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unless it has new columns: neither the tables nor the ticks of the steps before."""
    asked: list[int] = []

    def ticks(index: int) -> Ticks:
        asked.append(index)
        return step_ticks(4)

    monkeypatch.setattr("plopkit.runs.tables.read_appended", lambda path: pytest.fail(f"{path} is read"))
    keep(Books(RunFolder(tmp_path), ticks))
    assert asked == list(range(19))


def test_only_a_new_column_writes_the_ticks_as_a_whole(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    books = Books(folder, step_ticks)
    whole = []
    for index in range(19):
        with counting() as written:
            keep(books, index, index + 1)
        if written["ticks.csv"] == folder.ticks_file.stat().st_size:
            whole.append(index)
    assert whole == [0, 1, 3]  # ce, kd, penalty


def test_readers_see_whole_steps_at_any_moment(tmp_path: Path) -> None:
    """As a widget reads them: the steps that are in ``results.csv``, and all of their rows in the other tables."""
    folder = RunFolder(tmp_path)
    seen = set()

    def look(*_: Any) -> None:
        n_steps = folder.evaluated()
        shown = folder.first_steps(n_steps)
        seen.add(n_steps)
        if n_steps:
            assert len(shown.results) == sum(SCENARIO.steps[index].n_seen for index in range(n_steps))
            assert len(shown.ticks) == 7 * n_steps
            assert shown.summary["step"].tolist() == list(range(n_steps))

    with watching(look):
        keep(Books(folder, step_ticks), n_steps=8)
    assert seen == set(range(8))


def test_a_process_stopped_before_the_end_has_not_finished_the_step(tmp_path: Path) -> None:
    """Each append has five moments: its note, half of it, the rest, its seal, and removing the note."""
    expected = RunFolder(tmp_path / "straight")
    keep(Books(expected, step_ticks), n_steps=6)
    for moment in range(15):
        folder = RunFolder(tmp_path / str(moment))
        books = Books(folder, step_ticks)
        keep(books, n_steps=5)
        with pytest.raises(StoppedError), stopping_at(moment):
            keep(books, 5, 6)
        assert folder.evaluated() == 5
        pd.testing.assert_frame_equal(folder.results, expected.first_steps(5).results)
        keep(Books(folder, step_ticks), 5, 6)
        assert contents(folder.path) == contents(expected.path)


def test_an_epoch_writes_its_own_ticks_only(tmp_path: Path) -> None:
    store = StepStore(tmp_path, 0)
    ticks = step_ticks(4, 50)
    sizes = []
    for epoch in range(1, 12):
        with counting() as written:
            store.save_epoch({"net": {}, "epoch": epoch}, ticks)
        sizes.append(sum(written.values()))
    assert max(sizes) - min(sizes) < 100  # torch pads what it writes
    loaded = store.load_epoch()
    assert loaded is not None and loaded[1] == 11 * ticks
