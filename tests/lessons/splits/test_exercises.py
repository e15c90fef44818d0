"""The exercises of lessons 00 and 01."""

import numpy as np
import pandas as pd

from plopkit.datasets.check import voc_presence
from plopkit.lessons.exercises import check
from plopkit.scenario import Scenario


def test_the_exercises_of_the_first_lessons() -> None:
    rows = [("ft", 0, 60.0, np.nan), ("ft", 1, 2.0, 50.0), ("plop", 0, 60.0, np.nan), ("plop", 1, 55.0, 41.5)]
    summary = pd.DataFrame(rows, columns=["method", "step", "old_nobg", "new"])
    assert check("00.1", 58, summary=summary).right and check("00.1", 60, summary=summary).right is False
    assert check("00.2", 8.5, summary=summary).right and check("00.2", -8.5, summary=summary).right is False
    scenario, train = Scenario.parse("voc 15-1 overlap"), voc_presence()[0]
    blocks = [set(step.new) - {0} for step in scenario.steps]
    twice = sum(sum(bool(block & set(np.flatnonzero(row))) for block in blocks) > 1 for row in train[:, :21])
    assert 0 < twice < 11893 - 10582 + 1
    assert check("01.1", twice, scenario=scenario, train=train).right
    step = Scenario.parse("voc 15-5 overlap order=b").steps[-1]
    assert check("01.2", {12, 10}, step=step, channels=(1, 20)).right
    assert check("01.2", {1, 20}, step=step, channels=(1, 20)).right is False
