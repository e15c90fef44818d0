"""What a run takes of the machine, and the line that says so."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from small_runs import small

from plopkit.runs import fitting
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.time_left import Costs, TimeLeft, Work


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of threads, without changing torch's; the environment says nothing about it."""
    number = [4]
    monkeypatch.setattr(torch, "get_num_threads", lambda: number[0])
    monkeypatch.setattr(torch, "set_num_threads", lambda n: number.__setitem__(0, n))
    for name in fitting.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return number


@pytest.mark.parametrize(("cpus", "expected"), [(2, 2), (4, 4), (64, 4)])
def test_threads_are_no_more_than_processors(
    cpus: int, expected: int, threads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "n_cpus", lambda: cpus)
    fitting.limit_threads()
    assert threads == [expected]


def test_a_user_s_number_of_threads_stays(threads: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "n_cpus", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    fitting.limit_threads()
    assert threads == [4]


def test_loading_processes_are_no_more_than_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "n_cpus", lambda: 2)
    settings = small(tmp_path, compute__workers=8)
    fitted = fitting.with_fitting_workers(settings)
    assert (fitted.compute.workers, settings.compute.workers) == (2, 8)
    assert fitted.identity() == settings.identity()
    assert fitting.with_fitting_workers(small(tmp_path)) == small(tmp_path)
    assert Experiment.open(settings).data.settings.compute.workers == 2


@pytest.mark.parametrize(
    ("load", "advice"),
    [(0.4, ""), (3.5, "; other programs are busy (load 3.5 on 2 processors): OMP_NUM_THREADS=1 may")],
)
def test_one_line_says_what_a_run_takes(
    load: float,
    advice: str,
    threads: list[int],
    tmp_path: Path,
    accelerator: Accelerator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fitting, "n_cpus", lambda: 2)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    threads[0] = 2
    left = TimeLeft([Work(index, 60, 0) for index in range(6)], Costs(1.0, 1.0, 0.0))
    line = fitting.in_one_line(small(tmp_path), accelerator, left)
    expected = "2 threads, no workers, fp32, batch 8, about 6 min for 6 steps"
    assert line == expected if not advice else line.startswith(expected + advice)
    threads[0] = 1
    settings: Any = small(tmp_path, compute__workers=1, compute__precision="bf16")
    line = fitting.in_one_line(settings, accelerator, TimeLeft([Work(0, 5, 0)], Costs(1.0, 0.0, 0.0)))
    assert line == "1 thread, 1 worker, bf16, batch 8, about 5 s for 1 step"


@pytest.mark.usefixtures("no_pictures")
def test_a_run_begins_with_this_line_and_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = small(tmp_path)
    run(settings)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("1 thread, no workers, fp32, batch 8, about ")
    assert lines[0].endswith(" for 2 steps")
    of_epochs = [line for line in lines if " epoch 1/1: " in line]
    assert len(of_epochs) == 2 and all("; about " in line and line.endswith(" left") for line in of_epochs)
    run(settings)
    assert capsys.readouterr().err == ""  # nothing is left


def test_a_continued_run_counts_what_is_left(tmp_path: Path) -> None:
    settings = small(tmp_path, optim__epochs=3, optim__batch=4)
    experiment = Experiment.open(settings)
    left = experiment.time_left
    assert left is not None and left.steps == 2
    first = left._work[0].iterations
    assert first % 3 == 0
    ticks = experiment.ticks()
    n_done = 4
    for _ in range(n_done):
        next(ticks)
    ticks.close()
    again = Experiment.open(settings).time_left
    assert again is not None
    assert [work.iterations for work in again._work] == [first - n_done, left._work[1].iterations]
