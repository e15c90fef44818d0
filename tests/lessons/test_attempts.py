"""Functions that students write: solutions pass, each mistake gets its own hint, and nothing raises an error."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from plopkit.lessons import attempt, solution
from plopkit.lessons.attempts import Attempt, all_attempts, judge

NAMES = list(all_attempts())


def solved(name: str) -> dict[str, Any]:
    """The names that the solution's cell defines."""
    space: dict[str, Any] = {"attempt": attempt}
    exec(solution(name).code, space)
    return space


@pytest.mark.parametrize("name", NAMES)
def test_the_solution_is_right(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    solved(name)
    assert capsys.readouterr().out == f"Exercise {name}: right.\n"


@pytest.mark.parametrize("name", NAMES)
def test_each_mistake_gets_its_own_hint(name: str) -> None:
    exercise = all_attempts()[name]
    for hint, wrong in exercise.mistakes.items():
        assert judge(exercise, wrong) == (False, f"not right yet. Hint: {hint}")


doubled = Attempt(
    lambda x: 2 * x,
    lambda: [(torch.tensor([1.0, -2.0, 3.0]),)],
    {"one too many": lambda x: 3 * x},
    "twice <x>",
    "def double(x):\n    return 2 * x",
)


def nothing(x):
    """Only a docstring."""


def ellipsis(x):
    """As the notebook has it."""
    ...


def refuses(x):
    raise NotImplementedError


def forgets(x):
    y = 2 * x  # noqa: F841


def in_place(x):
    return x.mul_(2)


def raises(x):
    return x + {}["no"]


@pytest.mark.parametrize(
    ("function", "right", "words"),
    [
        (lambda x: x + x, True, "right."),
        (nothing, None, "not written yet."),
        (ellipsis, None, "not written yet."),
        (refuses, None, "not written yet."),
        (forgets, False, "no `return`"),
        (in_place, False, "in place"),
        (raises, False, "KeyError in `return x + {}[\"no\"]`: 'no'."),
        (lambda: 3, False, "TypeError"),
        (lambda x: 3 * x, False, "Hint: one too many"),
        (lambda x: -2 * x, False, "the wrong sign"),
        (lambda x: 8 * x, False, "are 4 times the right ones: a factor or a division is missing."),
        (
            lambda x: -8 * x,
            False,
            "are -4 times the right ones: a sign is wrong, and a factor or a division is missing.",
        ),
        (lambda x: (2 * x).tolist(), False, "the type is list; it has to be a tensor"),
        (lambda x: 2 * x[None], False, "the shape is (1, 3); it has to be (3,)"),
        (lambda x: (2 * x).int(), False, "the type of the numbers is torch.int32; it has to be torch.float32"),
        (lambda x: 2 * x / 0 * 0, False, "some of the numbers are nan: twice <x>"),
        (lambda x: 2 * x + torch.tensor([0, 0, 1]), False, "1 of 3 numbers differ: twice <x>"),
    ],
)
def test_what_is_wrong(function: Callable[..., Any], right: bool | None, words: str) -> None:
    verdict, text = judge(doubled, function)
    assert verdict is right and words in text and "\n" not in text


@pytest.mark.parametrize(
    "forgetful",
    [
        lambda z, target, n_old: F.nll_loss(z.log_softmax(1), target, reduction="none"),
        lambda z, target, n_old: -z.log_softmax(1).gather(1, target[:, None])[:, 0],
        lambda z, target, n_old: F.cross_entropy(z, target, reduction="none"),
    ],
)
def test_a_channel_255_gets_a_hint_on_ignored_pixels(forgetful: Callable[..., Any]) -> None:
    right, text = judge(all_attempts()["05.unbiased"], forgetful)
    assert right is False
    assert "255 is out of bounds" in text and " Hint: 255 marks ignored pixels and is no channel" in text


def thresholds_of_the_target(u, predicted, target, thresholds):
    return torch.where(u < thresholds[target], predicted, target)


def penalty_of_all_parameters(parameters, start, importance, factor):
    return factor * sum((importance[name] * (p - start[name]) ** 2).sum() for name, p in parameters.items())


def all_channels(method, batch):
    return {"ce": batch.out.logits.mean(), "pull": (batch.out.logits - batch.old.logits).square().mean()}


def plain_and_not_ignoring(method, batch):
    return {"ce": F.cross_entropy(batch.out.logits, batch.target), "pull": batch.out.logits.mean()}


@pytest.mark.parametrize(
    ("name", "function", "hint"),
    [
        ("04.rule", thresholds_of_the_target, "thresholds[predicted]."),
        ("05.ewc", penalty_of_all_parameters, "go through the names in `importance`."),
        ("06.method", all_channels, "compare the first n_old, batch.out.logits[:, :n_old], with batch.old.logits."),
        ("06.method", plain_and_not_ignoring, "unbiased_cross_entropy, imported above, leaves them out."),
        ("04.entropy", lambda logits: logits / torch.log(logits.shape[1]), "of a Python number, math.log."),
        ("02.balanced", lambda weight, bias, n_new: (weight, bias - torch.log(n_new + 1)), "math.log."),
    ],
)
def test_a_typical_error_gets_a_hint(name: str, function: Callable[..., Any], hint: str) -> None:
    right, text = judge(all_attempts()[name], function)
    assert right is False and " Hint: " in text and text.endswith(hint)


def test_another_error_gets_no_hint_on_ignored_pixels() -> None:
    def beyond(logits, target, n_old):
        return logits[:, 999]

    assert judge(all_attempts()["05.unbiased"], beyond)[1].endswith("999 is out of bounds for dimension 1 with size 5.")


def test_a_function_without_a_gradient() -> None:
    trained = Attempt(lambda x: 2 * x, lambda: [(torch.ones(2, requires_grad=True),)], {}, "", "", gradient=True)
    assert judge(trained, lambda x: 2 * x) == (True, "right.")
    assert "no gradient" in judge(trained, lambda x: 2 * x.detach())[1]


def test_each_value_needs_a_gradient() -> None:
    terms = Attempt(lambda x: {"a": x, "b": 2 * x}, lambda: [(torch.ones(2, requires_grad=True),)], {}, "", "", True)
    assert judge(terms, lambda x: {"b": 2 * x, "a": x + 0})[0]
    assert "no gradient can flow back to 'b'." in judge(terms, lambda x: {"a": x, "b": 2 * x.detach()})[1]


@pytest.mark.parametrize("wrong", [{"a": torch.ones(2), "c": torch.ones(2)}, (torch.ones(2),), torch.ones(2), [], {}])
def test_another_form_than_the_dictionary_asked_for(wrong: Any) -> None:
    terms = Attempt(lambda x: {"a": x, "b": 2 * x}, lambda: [(torch.ones(2),)], {}, "", "")
    assert judge(terms, lambda x: wrong) == (False, "not right yet. Hint: return a dictionary of 'a' and 'b'.")


@pytest.mark.parametrize("wrong", [{"a": torch.ones(3), "b": 1}, (torch.ones(3), 2), {}, ()])
def test_several_values_where_one_is_asked_for(wrong: Any) -> None:
    words = f"not right yet. Hint: the type is {type(wrong).__name__}; it has to be a tensor."
    assert judge(doubled, lambda x: wrong) == (False, words)


def test_a_single_wrong_number_is_not_called_a_factor() -> None:
    total = Attempt(lambda x: x.sum(), lambda: [(torch.tensor([1.0, 2.0]),)], {}, "add them", "")
    assert judge(total, lambda x: x.prod())[1] == "not right yet. Hint: the number is 2 where 3 is right: add them"
    assert "the wrong sign" in judge(total, lambda x: -x.sum())[1]


def test_no_hidden_number_makes_two_mistakes_of_ewc_look_alike() -> None:
    def penalty(parameters, start, importance, factor):
        return factor * sum((w * (parameters[name] - start[name]) ** 2).sum() for name, w in importance.items())

    exercise = all_attempts()["05.ewc"]
    assert judge(exercise, penalty)[0]
    squared, mean = (
        lambda p, s, w, factor: factor * penalty(p, s, w, factor),
        lambda p, s, w, factor: penalty(p, s, w, factor) / len(w),
    )
    assert all("½" not in judge(exercise, wrong)[1] for wrong in (squared, mean))


def test_several_values() -> None:
    pair = Attempt(lambda x: (x, 2 * x), lambda: [(torch.ones(2),)], {}, "", "")
    assert judge(pair, lambda x: (x, 2 * x))[0]
    assert "return 2 values" in judge(pair, lambda x: x)[1]
    assert "all numbers of value 2 are 1.5 times" in judge(pair, lambda x: (x, 3 * x))[1]
    assert "the shape of value 1 is (1, 2)" in judge(pair, lambda x: (x[None], 2 * x))[1]


def test_the_function_stays_itself_and_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert attempt("04.entropy")(nothing) is nothing
    assert capsys.readouterr().out == "Exercise 04.entropy: not written yet.\n"
    with pytest.raises(ValueError, match=r"no function to write '03\.pol' \(did you mean 03\.pool\?\)"):
        attempt("03.pol")
