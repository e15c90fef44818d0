"""A question with its answer, without a browser: guesses by click, errors, and what is shown where nobody guesses."""

import pytest
from matplotlib.figure import Figure

from plopkit.widgets import Reveal, outputs, reveal
from plopkit.widgets.placeholder import Placeholder


@pytest.fixture(autouse=True)
def _no_guesses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reveal, "_GUESSES", {})


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict]:
    """What was displayed, in order."""
    bundles: list[dict] = []
    for module in (reveal, outputs):
        monkeypatch.setattr(module, "display", lambda data, raw: bundles.append(data))
    return bundles


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reveal, "is_interactive", lambda: True)


def counted(calls: list[int]) -> str:
    calls.append(1)
    return "the <answer>"


def test_the_first_click_shows_the_answer_once(person, shown) -> None:
    calls: list[int] = []
    question = Reveal("Which <net>, `ft`?", lambda: counted(calls), ("ft", "plop"), "ft")
    question._ipython_display_()
    assert "application/vnd.jupyter.widget-view+json" in shown[0] and not calls and not question.output.outputs
    assert "Which &lt;net&gt;, <code>ft</code>?" in shown[1]["text/html"] and "the <answer>" not in str(shown)
    buttons = question.box.children[1]
    assert buttons.options == ("ft", "plop") and buttons.value is None
    buttons.value = "plop"
    assert question.verdict == "You chose plop. Right is: ft." and buttons.disabled
    question.guess("ft")
    assert question.guessed == "plop" and calls == [1]
    assert question.output.outputs[0]["data"]["text/markdown"] == "the <answer>"


def test_what_would_give_the_answer_away_waits_for_the_guess(person, shown) -> None:
    calls: list[int] = []
    question = Reveal("Which net?", lambda: 1, ("ft", "plop"), "ft")
    later, failing = question.then(lambda: counted(calls)), question.then(lambda: 1 / 0)
    later._ipython_display_()
    assert not calls and "the <answer>" not in str(shown)
    assert later.output.outputs[0]["data"] == {"text/plain": reveal.WAITING}
    question.guess("plop")
    assert calls == [1] and later.output.outputs[0]["data"]["text/markdown"] == "the <answer>"
    assert failing.output.outputs[0]["data"] == {"text/plain": "ZeroDivisionError: division by zero"}
    after = question.then(lambda: counted(calls))
    assert calls == [1, 1] and after.output.outputs[0]["data"]["text/markdown"] == "the <answer>"


def test_without_a_person_nothing_waits() -> None:
    assert Reveal("Which net?", lambda: 1).then(lambda: "now") == "now"


def test_a_guess_that_is_no_longer_offered_is_asked_again(person, shown) -> None:
    first = Reveal("Which net?", lambda: 1, ("ft", "mib"))
    first.guess("mib")
    same, other = Reveal("Which net?", lambda: 1, ("mib", "ft")), Reveal("Which net?", lambda: 1, ("ft", "plop"))
    for question in (same, other):
        question._ipython_display_()
    assert same.guessed == "mib" and other.guessed is None


def test_a_right_guess() -> None:
    question = Reveal("Which net?", lambda: 1, ("ft", "plop"), "ft")
    question.guess("ft")
    assert question.verdict == "Right: ft." and 'role="status"' in question.box.children[2].value


def test_a_text_box_takes_a_text_or_a_button_that_gives_up() -> None:
    typed, skipped = (Reveal("How many?", lambda: 12, right="12") for _ in range(2))
    typed.box.children[1].value = "ten"
    assert typed.verdict == "You wrote ten. Right is: 12."
    skipped.box.children[2].click()
    assert skipped.guessed == "" and skipped.verdict == "Right is: 12." and skipped.data["text/plain"] == "12"


def test_a_cell_that_runs_again_does_not_ask_again(person, shown) -> None:
    for number in (1, 2):
        question = Reveal("Which net?", lambda number=number: number, ("ft", "plop"))
        question._ipython_display_()
        question.guess("plop")
    again = Reveal("Which net?", lambda: 3, ("ft", "plop"))
    again._ipython_display_()
    assert again.guessed == "plop" and again.data["text/plain"] == "3"


def test_an_error_is_one_line() -> None:
    question = Reveal("?", lambda: [][0], ("a", "b"))
    question.guess("a")
    assert question.data == {"text/plain": "IndexError: list index out of range"}


def test_without_a_person_question_and_answer_are_shown(shown) -> None:
    question = Reveal("Which net?", lambda: Figure((1, 1)), ("ft", "plop"), "ft")
    question._ipython_display_()
    assert shown[0]["text/plain"] == "Predict. Which net? Right is: ft."
    assert "<img alt=" in shown[1]["text/html"] and question.guessed is None


def test_a_right_answer_that_nobody_can_choose() -> None:
    with pytest.raises(ValueError, match=r"no choice 'mib'.*known: ft, plop"):
        Reveal("Which net?", lambda: 1, ("ft", "plop"), "mib")


def test_the_right_choice_may_be_found_when_the_answer_is_shown(shown) -> None:
    found = ["ft"]
    question = Reveal("Which net?", lambda: 1, ("ft", "plop"), lambda: found[0])
    assert question.right is None
    found[0] = "plop"
    question.guess("plop")
    assert question.verdict == "Right: plop."
    Reveal("Which?", lambda: 1, ("ft", "plop"), lambda: "ft")._ipython_display_()
    assert shown[0]["text/plain"] == "Predict. Which? Right is: ft."
    unknown = Reveal("Which now?", lambda: 1, ("ft", "plop"), lambda: None)
    unknown.guess("ft")
    assert unknown.verdict == "You chose ft."
    with pytest.raises(ValueError, match=r"no choice 'mib'.*known: ft, plop"):
        Reveal("Which net now?", lambda: 1, ("ft", "plop"), lambda: "mib").guess("ft")


def test_an_answer_that_waits_for_a_run_is_its_placeholder(person, shown) -> None:
    waiting = Placeholder(lambda folder: folder.summary)
    question = Reveal("How does it end?", lambda: waiting, ("well", "badly"))
    question.guess("well")
    (output,) = question.output.outputs
    view = output["data"]["application/vnd.jupyter.widget-view+json"]
    assert view["model_id"] == waiting.output.model_id and not shown
