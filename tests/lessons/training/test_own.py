"""Lesson 06: the method that a student writes, and the table of loss terms."""

from collections.abc import Iterator

import pandas as pd
import pytest
import torch
from small_runs import small

import plopkit
from plopkit.lessons import attempt, solution
from plopkit.lessons.exercises import Verdict
from plopkit.lessons.training import course, course_in_words, first_and_last, run_once_written, with_method
from plopkit.lessons.training.own import COURSES, course_of
from plopkit.losses import cross_entropy, unbiased_cross_entropy
from plopkit.methods import Method
from plopkit.model import Segmenter
from plopkit.model.encoders import Encoder
from plopkit.runs.folder import RunFolder


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


@pytest.mark.parametrize(
    ("returned", "hint"),
    [
        (lambda ce: (ce, ce), "return a dictionary of 'ce' and 'pull'."),
        (lambda ce: {"ce": ce, "pull": 0.5}, "the type of 'pull' is float; it has to be a tensor."),
        (lambda ce: print(end="") or None, "it has no `return`."),
    ],
)
def test_nothing_is_trained_where_the_losses_are_no_terms(returned, hint: str, tmp_path) -> None:
    class Wrong(Unwritten):
        def losses(self, batch):
            n_old = batch.old.logits.shape[1]
            return returned(unbiased_cross_entropy(batch.out.logits, batch.target, n_old).mean())

    verdict = run_once_written(Wrong, small(tmp_path, method="ft"))
    assert isinstance(verdict, Verdict) and verdict.right is False
    assert verdict.text.startswith("Nothing is trained: losses() has to return a dictionary of tensors.")
    assert verdict.text.endswith(hint)
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_method_with_terms_is_trained(tmp_path, no_pictures: None) -> None:
    class Plain(Unwritten):
        def losses(self, batch):
            return {"ce": cross_entropy(batch.out.logits, batch.target).mean()}

    plopkit.METHODS["unwritten"] = Plain
    try:
        assert isinstance(run_once_written(Plain, small(tmp_path, method="unwritten")), pd.DataFrame)
    finally:
        del plopkit.METHODS["unwritten"]


def test_a_written_method_is_run_and_compared(mine: type[Method], tmp_path, no_pictures: None) -> None:
    plopkit.run(small(tmp_path, method="ft"))
    table = run_once_written(mine, small(tmp_path, method="mine"))
    assert isinstance(table, pd.DataFrame)
    assert list(table.index) == ["ft", "mine"]
    assert table[["old_nobg", "new", "all", "background", "pixel_accuracy"]].notna().all(axis=None)


def test_another_method_has_the_settings_but_not_the_hyper_parameters(mine: type[Method], tmp_path) -> None:
    names = {"scenario": "emoji 15-1 overlap", "preset": "smoke", "data_root": None, "out": str(tmp_path)}
    plop = plopkit.from_parameters(names | {"overrides": "hyper.pod=0.5 optim.lr=0.25 seed=3"}, "plop")
    own = plopkit.from_parameters(names | {"overrides": {"optim.lr": 0.25, "seed": 3}}, "mine")
    assert with_method(plop, "smoke", "mine") == own
    assert with_method(plop, "smoke", "mine", {"hyper.weight": 2.0}).hyper == {"weight": 2.0}


def test_the_first_and_the_last_iterations_of_each_term() -> None:
    ticks = pd.DataFrame(
        {"step": [0, 0, 0, 1, 1, 1], "loss_ce": [3.0, 2.0, 1.0, 6, 5, 4], "loss_pod": [float("nan")] * 3 + [9, 8, 1]}
    )
    table = first_and_last(ticks, n=2)
    assert table["first"].to_dict() == {(0, "ce"): 2.5, (1, "ce"): 5.5, (1, "pod"): 8.5}
    assert table["last"].to_dict() == {(0, "ce"): 1.5, (1, "ce"): 4.5, (1, "pod"): 4.5}
    assert table.index.names == ["step", "term"]


@pytest.mark.parametrize(
    ("values", "said"),
    [((1.0, 3.0), "it rises"), ((3.0, 1.0), "it falls"), ((1.0, 1.05), "it stays level"), ((0.0, 0.5), "it rises")],
)
def test_the_course_of_the_largest_protective_term(values: tuple[float, float], said: str) -> None:
    pod = [values[0]] * 10 + [values[1]] * 10
    terms = {"loss_ce": [9.0] * 10 + [1.0] * 10, "loss_pod": pod, "loss_small": [0.01, 0.02] * 10}
    assert course_of(pd.DataFrame({"step": 1} | terms), 1) == said


def test_a_course_needs_a_finished_run_with_a_protective_term(tmp_path, no_pictures: None) -> None:
    settings = small(tmp_path, method="ft")
    assert course(RunFolder(settings.folder())) is None
    assert course(plopkit.run(settings)) is None
    finished = plopkit.run(small(tmp_path, method="plop"))
    assert course(finished) == course_of(finished.ticks, 1) in COURSES
    assert course_in_words(finished).startswith("In step 1, `pod` has a mean of ")
    assert course_in_words(plopkit.run(settings)) == "In step 1 no term protects anything."


def test_the_words_name_the_largest_protective_term_of_the_latest_step(tmp_path) -> None:
    folder = RunFolder(tmp_path)
    terms = {"loss_ce": [9.0] * 40, "loss_pod": [0.0] * 20 + [3.0] * 10 + [1.25] * 10, "loss_small": [0.01] * 40}
    places = {"step": [0] * 20 + [1] * 20, "epoch": 0, "iteration": [*range(20)] * 2}
    pd.DataFrame(places | terms).to_csv(folder.ticks_file, index=False)
    assert course_in_words(folder) == (
        "In step 1, `pod` has a mean of 3 over the first ten iterations and of 1.25 over the last ten."
    )


def test_a_net_in_training_is_no_copy_of_its_teacher() -> None:
    """Why a term that compares features does not begin at nothing."""
    torch.manual_seed(0)
    before = Segmenter(Encoder("test_efficientnet"), classes=(4,), width=8, dilations=(1,))
    teacher, net = before.frozen(), before.grown(2)
    images = torch.randn(4, 3, 64, 64)
    with torch.no_grad():
        features = teacher(images).features
        at_rest, in_training = net.eval()(images).features, net.train()(images).features
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(at_rest, features, strict=True))
    assert not any(torch.allclose(ours, theirs, rtol=0.1) for ours, theirs in zip(in_training, features, strict=True))
