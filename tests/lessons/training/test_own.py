"""Lesson 06: the method that a student writes, and the table of loss terms."""

from collections.abc import Iterator

import pandas as pd
import pytest
from small_runs import small

import plopkit
from plopkit.lessons import attempt, solution
from plopkit.lessons.exercises import Verdict
from plopkit.lessons.training import first_and_last, run_once_written
from plopkit.methods import Method


@pytest.fixture
def mine() -> Iterator[type[Method]]:
    """The solution of the exercise, registered."""
    space = {"attempt": attempt, "__name__": __name__}
    exec(solution("06.method").code, space)
    plopkit.METHODS["mine"] = space["Mine"]
    yield space["Mine"]
    del plopkit.METHODS["mine"]


class Unwritten(Method):
    """As the notebook has it."""

    name, title, source = "unwritten", "not written", "a test"

    def losses(self, batch):
        """What it has to return."""
        ...


def test_nothing_is_trained_before_the_method_is_written(tmp_path) -> None:
    verdict = run_once_written(Unwritten, small(tmp_path, method="ft"))
    assert isinstance(verdict, Verdict) and verdict.right is None
    assert list(tmp_path.iterdir()) == []


def test_a_written_method_is_run_and_compared(mine: type[Method], tmp_path, no_pictures: None) -> None:
    plopkit.run(small(tmp_path, method="ft"))
    table = run_once_written(mine, small(tmp_path, method="mine"))
    assert isinstance(table, pd.DataFrame)
    assert list(table.index) == ["ft", "mine"]
    assert table[["old_nobg", "new", "all", "background", "pixel_accuracy"]].notna().all(axis=None)


def test_the_first_and_the_last_iterations_of_each_term() -> None:
    ticks = pd.DataFrame(
        {"step": [0, 0, 0, 1, 1, 1], "loss_ce": [3.0, 2.0, 1.0, 6, 5, 4], "loss_pod": [float("nan")] * 3 + [9, 8, 1]}
    )
    table = first_and_last(ticks, n=2)
    assert table["first"].to_dict() == {(0, "ce"): 2.5, (1, "ce"): 5.5, (1, "pod"): 8.5}
    assert table["last"].to_dict() == {(0, "ce"): 1.5, (1, "ce"): 4.5, (1, "pod"): 4.5}
    assert table.index.names == ["step", "term"]
