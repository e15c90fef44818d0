"""How long a run still takes: first from a rehearsal of its steps, then from its own iterations."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from statistics import fmean
from typing import NamedTuple

from plopkit.ticks import Tick

RECENT = 50
"""Number of iterations whose mean is the present speed."""


class Costs(NamedTuple):
    """Seconds for a batch, as a rehearsal found them."""

    first: float
    """an iteration of step 0"""
    later: float
    """an iteration of a later step, which has a teacher"""
    evaluation: float
    """a batch of validation images"""


class Work(NamedTuple):
    """What is left of a step."""

    step: int
    iterations: int
    evaluations: int
    """number of batches of validation images"""


class TimeLeft:
    """The time that a run still takes, as a whole.

    Of a step under way, the mean of the recent iterations counts, and what the step before took after its last
    iteration, such as its evaluation. Steps to come take as long by iteration, and in proportion to their number of
    validation images; until a later step has begun, the rehearsal says how much slower later steps are than step 0.

    Args:
        work: what is left of each step, in order.
        costs: what a rehearsal found.
        clock: gives the seconds.
    """

    def __init__(self, work: Sequence[Work], costs: Costs, clock: Callable[[], float] = time.monotonic):
        self._work, self._clock = list(work), clock
        warm = min(costs.first, costs.later) if costs.later else costs.first  # the first pass warms up
        self._rates = {0: warm, 1: max(costs.later, warm)}
        self._ratio = self._rates[1] / warm if warm else 1.0
        self._per_evaluation = costs.evaluation
        self._recent: deque[float] = deque(maxlen=RECENT)
        self._step = -1
        self._ended = 0.0

    @property
    def steps(self) -> int:
        """The number of steps of which something is left."""
        return len(self._work)

    def add(self, tick: Tick) -> None:
        """Take an iteration into account."""
        now = self._clock()
        if tick.step != self._step:
            before = next((work for work in self._work if work.step == self._step), None)
            if before is not None and before.evaluations:
                self._per_evaluation = max(0.0, now - self._ended - tick.seconds) / before.evaluations
            self._work = [work for work in self._work if work.step >= tick.step]
            self._recent.clear()
            self._step = tick.step
        else:  # the first iteration of a step also starts the loading of images
            self._recent.append(tick.seconds)
            self._rates[min(tick.step, 1)] = fmean(self._recent)
            if tick.step == 0:
                self._rates[1] = self._rates[0] * self._ratio
        if self._work and self._work[0].step == tick.step:
            self._work[0] = self._work[0]._replace(iterations=tick.n_iterations - tick.iteration - 1)
        self._ended = now

    def seconds(self) -> float:
        """The seconds that are left."""
        return sum(
            work.iterations * self._rates[min(work.step, 1)] + work.evaluations * self._per_evaluation
            for work in self._work
        )

    def __str__(self) -> str:
        return f"about {in_words(self.seconds())}"


def in_words(seconds: float) -> str:
    """A duration in words: "40 s", "6 min", "1 h 20 min", "2 d 3 h"."""
    if seconds < 59.5:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
