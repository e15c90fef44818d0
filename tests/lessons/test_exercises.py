"""The checker of the lessons' exercises."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from plopkit.lessons.exercises import TOPICS, Exercise, all_exercises, check, exercises_of, same
from plopkit.scenario import Scenario


@pytest.fixture
def doubled(monkeypatch):
    """An exercise 01.9 whose right answer is twice x."""
    monkeypatch.setitem(exercises_of("splits"), "01.9", Exercise(lambda x: 2 * x, "twice <x>", "2 * x"))


def test_right_wrong_and_not_answered(doubled):
    assert check("01.9", 6, x=3).right is True
    wrong, missing = check("01.9", 5, x=3), check("01.9", None, x=3)
    assert wrong.right is False and "not right" in str(wrong) and "twice <x>" in str(wrong)
    assert missing.right is None and "no answer yet" in str(missing)
    assert "twice &lt;x&gt;" in wrong._repr_html_()


def test_an_unknown_exercise():
    with pytest.raises(ValueError, match=r"no exercise '01\.3' \(did you mean 0\d\.\d\?\)"):
        check("01.3", 1)
    with pytest.raises(ValueError, match=r"no exercise '99\.1'.*known: 00\.1, 00\.2, 01\.1"):
        check("99.1", 1)


def test_every_topic_holds_the_exercises_of_its_lessons():
    for topic in set(TOPICS.values()):
        lessons = {lesson for lesson, name in TOPICS.items() if name == topic}
        assert {name.partition(".")[0] for name in exercises_of(topic)} == lessons
    assert list(all_exercises()) == [f"{lesson}.{number}" for lesson in TOPICS for number in (1, 2)]


@pytest.mark.parametrize(
    ("answer", "truth"),
    [
        (3, 3.0),
        (torch.tensor([1.0, 2.0]), np.array([1, 2])),
        ([1, 2], (1, 2)),
        ([2, 1, 2], {1, 2}),
        (float("nan"), float("nan")),
    ],
)
def test_same(answer, truth):
    assert same(answer, truth, 1e-4)


@pytest.mark.parametrize(
    ("answer", "truth"),
    [(3, 3.1), ([1, 2], [1, 2, 3]), ("12", {1, 2}), ("x", 3), ({"a": 1}, 1)],
)
def test_not_the_same(answer, truth):
    assert not same(answer, truth, 1e-4)


class Unreadable:
    def __array__(self, *_: object, **__: object) -> None:
        raise RuntimeError("no numbers here")


@pytest.mark.parametrize(
    "answer",
    [
        [["ewc", "penalty"]], [[["ewc"]]], {("ewc", "penalty"): 1}, "ewc", 3, {1}, [{}], torch.ones(2), torch.tensor(1),
        torch.ones(1, requires_grad=True), Unreadable(), object(), print, pd.DataFrame({"a": [1]}), b"x", 1j, [None],
    ],
    ids=lambda answer: type(answer).__name__,
)  # fmt: skip
def test_an_answer_of_any_type_gets_a_verdict(answer, doubled):
    table = pd.DataFrame({"new classifier": [0, 1]}, index=[("ewc", "penalty"), ("ewc", "ce")])
    right = answer in ([["ewc", "penalty"]], {("ewc", "penalty"): 1}) if isinstance(answer, list | dict) else False
    assert check("05.1", answer, table=table).right is right
    assert check("01.9", answer, x=30).right is False


def test_no_answer_yet(doubled):
    assert check("01.9", ..., x=3).right is None


def test_channels_are_no_answer_to_which_labels():
    reverse = replace(Scenario.parse("emoji 15-5 overlap"), order=(0, *range(20, 0, -1)))
    last = reverse.steps[-1]
    assert check("01.2", {20, 18}, step=last, channels=(1, 3)).right is True
    assert check("01.2", {1, 3}, step=last, channels=(1, 3)).right is False


def test_what_a_notebook_prints_is_right():
    lost = pd.DataFrame({"method": "ft", "learned_at": 0, "label": [1, 2], "forgetting": [56.2732, 56.2732]})
    assert check("07.1", 56.3, lost=lost, method="ft").right is True
    assert check("07.1", 57, lost=lost, method="ft").right is False
    # Numbers may be small: 2.3136 and 1.5726, as printed with one decimal.
    summary = pd.DataFrame({"method": "ft", "old_nobg": [2.3136, 1.5726]})
    assert check("00.1", 2.3 - 1.6, summary=summary).right is True
    assert check("00.1", 1.6 - 2.3, summary=summary).right is False
    fell = pd.DataFrame(
        {"method": "plop", "learned_at": [0, 1, 2], "learnt": [30.04, 20.04, 1], "last": [27.06, 20.06, 1]}
    )
    assert check("10.2", ((27.1 - 30.0) + (20.1 - 20.0)) / 2, forgetting=fell, method="plop").right is True
    assert check("10.2", 1.4, forgetting=fell, method="plop").right is False
    # Both means printed at the edge of their rounding: 40.0499 with the background, 35.9501 without.
    results = pd.DataFrame({"method": "ft", "label": [0], "step": [1], "iou": [16 * 40.0499 - 15 * 35.9501]})
    assert check("08.1", 16 * 40.0 - 15 * 36.0, results=results, method="ft").right is True
    # 16 old classes with the background: 3.9 % and, without it, 0.0 %, as printed; truly 3.880564 * 16.
    results = pd.DataFrame({"method": "ft", "label": [0], "step": [1], "iou": [3.880564 * 16]})
    assert check("08.1", 3.9 * 16, results=results, method="ft").right is True
    assert check("08.1", 3.9 * 15, results=results, method="ft").right is False
