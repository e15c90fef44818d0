"""The time that a run still takes: what the rehearsal says, and how iterations correct it."""

from typing import Any

import pytest

from plopkit.runs.time_left import Costs, TimeLeft, Work, in_words
from plopkit.ticks import Tick


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def tick(step: int, iteration: int, n_iterations: int, seconds: float) -> Tick:
    return Tick(step, 0, 1, iteration, n_iterations, {"ce": 1.0}, 0.1, seconds, iteration == n_iterations - 1)


def train(left: TimeLeft, clock: Clock, step: int, n: int, seconds: float, stop: int | None = None) -> None:
    for iteration in range(stop or n):
        clock.now += seconds
        left.add(tick(step, iteration, n, seconds))


WORK = [Work(0, 100, 10), Work(1, 20, 20), Work(2, 20, 30)]


def test_before_the_first_iteration_the_rehearsal_counts() -> None:
    left = TimeLeft(WORK, Costs(first=3.0, later=2.0, evaluation=0.5))
    # The first pass also warms up: it is not slower than the later one.
    assert left.seconds() == pytest.approx(100 * 2 + 40 * 2 + 60 * 0.5)
    assert TimeLeft(WORK, Costs(1.0, 2.0, 0.5)).seconds() == pytest.approx(100 + 80 + 30)
    assert TimeLeft(WORK[:1], Costs(3.0, 0.0, 0.5)).seconds() == pytest.approx(300 + 5)
    assert left.steps == 3


def test_iterations_correct_the_speed_of_all_steps() -> None:
    clock = Clock()
    left = TimeLeft(WORK, Costs(1.0, 2.0, 0.5), clock)
    train(left, clock, 0, 100, 4.0, stop=50)
    assert left.seconds() == pytest.approx(50 * 4 + 40 * 8 + 60 * 0.5)  # later steps are twice as slow, as rehearsed
    left = TimeLeft(WORK, Costs(1.0, 2.0, 0.5), clock)
    train(left, clock, 0, 100, 4.0)
    clock.now += 100  # evaluates 10 batches
    train(left, clock, 1, 20, 5.0)
    assert left.seconds() == pytest.approx(20 * 5 + 10 * (20 + 30))
    clock.now += 60
    train(left, clock, 2, 20, 6.0)
    assert left.seconds() == pytest.approx(30 * 3)


def test_a_run_whose_speed_changes_follows_the_recent_iterations() -> None:
    clock = Clock()
    left = TimeLeft([Work(0, 1000, 0)], Costs(1.0, 0.0, 0.0), clock)
    train(left, clock, 0, 1000, 1.0, stop=100)
    for iteration in range(100, 200):
        left.add(tick(0, iteration, 1000, 3.0))
    assert left.seconds() == pytest.approx(800 * 3)


def test_a_slow_first_iteration_is_left_out() -> None:
    left = TimeLeft([Work(0, 10, 0)], Costs(1.0, 0.0, 0.0), Clock())
    left.add(tick(0, 0, 10, 60.0))
    assert left.seconds() == pytest.approx(9)
    left.add(tick(0, 1, 10, 2.0))
    assert left.seconds() == pytest.approx(16)


def test_a_later_step_that_is_continued_is_measured_itself() -> None:
    left = TimeLeft([Work(1, 12, 1), Work(2, 20, 1)], Costs(1.0, 2.0, 3.0), Clock())
    assert left.seconds() == pytest.approx(12 * 2 + 20 * 2 + 6)
    left.add(tick(1, 8, 20, 9.0))
    left.add(tick(1, 9, 20, 4.0))
    assert left.seconds() == pytest.approx(10 * 4 + 20 * 4 + 6)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "1 s"),
        (40.2, "40 s"),
        (59.4, "59 s"),
        (59.6, "1 min"),
        (359, "6 min"),
        (3599, "1 h"),
        (4800, "1 h 20 min"),
        (86400, "1 d"),
        (183_600, "2 d 3 h"),
    ],
)
def test_durations_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_time_left_in_words() -> None:
    left: Any = TimeLeft([Work(0, 60, 0)], Costs(6.0, 0.0, 0.0))
    assert str(left) == "about 6 min"
