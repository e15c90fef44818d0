"""Functions that students write themselves: checked on hidden inputs, with a hint that names the mistake.

Each topic's ``attempts.py`` has its functions to write. A mistake is found by comparison with wrong variants: the
function without its minus, with the axes swapped, without a division. What no variant explains is described: an error,
another type or shape, a changed input, a constant factor.
"""

import dis
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, TypeVar

import torch
from torch import Tensor

from plopkit.lessons.exercises import ATTEMPT_TOPICS, Verdict, exercise_names
from plopkit.lessons.progress_file import counted
from plopkit.support.errors import unknown_name

Function = TypeVar("Function", bound=Callable[..., Any])
Inputs = tuple[Any, ...]


@dataclass(frozen=True)
class Attempt:
    """A function to write."""

    reference: Callable[..., Any]
    """The library's own: returns a tensor, a tuple of tensors or a dictionary of them."""
    inputs: Callable[[], Sequence[Inputs]]
    """Makes the hidden inputs, always the same."""
    mistakes: Mapping[str, Callable[..., Any]]
    """Wrong variants by the hint that each deserves; the first that agrees with the student's function is named."""
    hint: str
    """For mistakes that are not among these."""
    solution: str
    """The lines of a cell that defines the function, with its imports and without the decorator."""
    gradient: bool = False
    """Whether the result has to carry a gradient back to the inputs that need one."""
    errors: Mapping[str, str] = field(default_factory=dict)
    """Hints for errors that the function raises, by a part of their message; those of `ERRORS` come after them."""


ERRORS = {
    "must be Tensor, not": "torch's functions need a tensor; for the logarithm of a Python number, math.log.",
}
"""Hints for errors that any function may raise, by a part of their message."""


def attempt(name: str) -> Callable[[Function], Function]:
    """Check the function below this line on hidden inputs, and show what is wrong with it.

    Args:
        name: the exercise's lesson and word, such as ``"03.pool"``.

    Raises:
        ValueError: there is no such exercise.

    Example:
        >>> @attempt("04.entropy")
        ... def uncertainty(logits): ...
        Exercise 04.entropy: not written yet.
    """
    exercise = find_attempt(name)

    def decorate(function: Function) -> Function:
        right, text = judge(exercise, function)
        _show(Verdict(right, f"Exercise {name}: {text}{counted(name, exercise_names()) if right else ''}"))
        return function

    return decorate


def find_attempt(name: str) -> Attempt:
    """The function to write of this name.

    Raises:
        ValueError: there is none.
    """
    known = all_attempts()
    if name not in known:
        raise unknown_name("function to write", name, known)
    return known[name]


def all_attempts() -> dict[str, Attempt]:
    """The functions to write of all lessons, in order."""
    modules = [import_module(f"plopkit.lessons.{topic}.attempts") for topic in ATTEMPT_TOPICS]
    return {name: item for module in modules for name, item in module.ATTEMPTS.items()}


def judge(exercise: Attempt, function: Callable[..., Any]) -> tuple[bool | None, str]:
    """Whether the function is right (None: not written yet), and what to say about it."""
    for inputs in exercise.inputs():
        given = deepcopy(inputs)
        try:
            result = function(*given)
        except NotImplementedError:
            return None, "not written yet."
        except Exception as error:
            return False, _one_line(error) + _hint_of(exercise, error)
        if result is None:
            return (None, "not written yet.") if _does_nothing(function) else (False, "it has no `return`.")
        if not equal(given, inputs):
            return False, "it changes its input in place. Hint: work on a copy, x.clone(), or compute a new tensor."
        truth = exercise.reference(*deepcopy(inputs))
        if not equal(result, truth):
            return False, f"not right yet. Hint: {_mistake(exercise, inputs, result, truth)}"
        if exercise.gradient and (which := _without_gradient(result)) is not None:
            return False, (
                f"the numbers are right, but no gradient can flow back{which}. Hint: a loss is trained with, so "
                "compute it from the tensors themselves, without .detach(), .item() or torch.no_grad()."
            )
    return True, "right."


def equal(result: Any, truth: Any) -> bool:
    """Whether both have the same parts: tensors of one shape and kind of number, equal up to rounding."""
    if isinstance(truth, tuple | dict):
        if not isinstance(result, type(truth)) or len(result) != len(truth):
            return False
        keys = list(truth) if isinstance(truth, dict) else range(len(truth))
        same_keys = not isinstance(truth, dict) or set(result) == set(truth)
        return same_keys and all(equal(result[key], truth[key]) for key in keys)
    if isinstance(truth, Tensor):
        return _fault(result, truth) is None and _close(result, truth)
    return bool(result == truth)


def _mistake(exercise: Attempt, inputs: Inputs, result: Any, truth: Any) -> str:
    """What is wrong with the result for these inputs."""
    for hint, variant in exercise.mistakes.items():
        if equal(result, variant(*deepcopy(inputs))):
            return hint
    if isinstance(truth, dict) and (not isinstance(result, dict) or set(result) != set(truth)):
        return f"return a dictionary of {' and '.join(map(repr, truth))}."
    if isinstance(truth, tuple) and (not isinstance(result, tuple) or len(result) != len(truth)):
        return f"return {len(truth)} values, separated by commas."
    if isinstance(truth, dict):
        names = [repr(name) for name in truth]
        pairs = [(result[name], truth[name]) for name in truth]
    elif isinstance(truth, tuple):
        pairs = list(zip(result, truth, strict=True))
        names = [f"value {place + 1}" for place in range(len(pairs))]
    else:
        names, pairs = ["the value"], [(result, truth)]
    name, (part, right) = next((name, pair) for name, pair in zip(names, pairs, strict=True) if not equal(*pair))
    which = f" of {name}" if len(pairs) > 1 else ""
    return _fault(part, right, which) or _numbers(part, right, which, exercise.hint)


def _fault(result: Any, truth: Tensor, which: str = "") -> str | None:
    """What is wrong with the type or shape; None if nothing is."""
    if not isinstance(result, Tensor):
        return f"the type{which} is {type(result).__name__}; it has to be a tensor."
    if result.shape != truth.shape:
        return f"the shape{which} is {tuple(result.shape)}; it has to be {tuple(truth.shape)}."
    if result.is_floating_point() != truth.is_floating_point() or (result.dtype is torch.bool) != (
        truth.dtype is torch.bool
    ):
        return f"the type of the numbers{which} is {result.dtype}; it has to be {truth.dtype}."
    return None


def _numbers(result: Tensor, truth: Tensor, which: str, hint: str) -> str:
    """What the wrong numbers have in common."""
    result, truth = result.detach(), truth.detach()
    if result.isnan().any() and not truth.isnan().any():
        return f"some of the numbers{which} are nan: {hint}"
    if truth.is_floating_point() and _close(result, -truth):
        return f"all numbers{which} have the wrong sign."
    if truth.is_floating_point() and truth.numel() > 1:  # any two single numbers have a ratio, which says nothing
        ratio = float((result * truth).sum() / truth.square().sum())
        if abs(ratio) > 1e-6 and _close(result, ratio * truth):
            sign = "a sign is wrong, and " if ratio < 0 else ""
            return f"all numbers{which} are {ratio:.4g} times the right ones: {sign}a factor or a division is missing."
    if truth.numel() == 1:
        return f"the number{which} is {result.item():.4g} where {truth.item():.4g} is right: {hint}"
    wrong = (~torch.isclose(result.double(), truth.double(), 1e-4, 1e-5)).sum()
    return f"{int(wrong)} of {truth.numel()} numbers{which} differ: {hint}"


def _without_gradient(result: Any) -> str | None:
    """Which of several values carries no gradient, with " to" before it; None if all do."""
    parts = result if isinstance(result, dict) else {"": result}
    missing = [name for name, part in parts.items() if not part.requires_grad]
    return None if not missing else f" to {missing[0]!r}" if missing[0] else ""


def _close(result: Tensor, truth: Tensor) -> bool:
    return torch.allclose(result.detach().double(), truth.detach().double(), rtol=1e-4, atol=1e-5, equal_nan=True)


def _does_nothing(function: Callable[..., Any]) -> bool:
    """Whether the function's body is a docstring, `...`, `pass` or nothing but `return None`."""
    code = getattr(function, "__code__", None)
    empty = {"RESUME", "NOP", "LOAD_CONST", "RETURN_VALUE", "RETURN_CONST"}
    return code is not None and {instruction.opname for instruction in dis.get_instructions(code)} <= empty


def _one_line(error: Exception) -> str:
    """The error and the student's line that raised it."""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # without our own
    place = f" in `{frames[0].line}`" if frames and frames[0].line else ""
    return f"{type(error).__name__}{place}: {str(error).partition(chr(10))[0].rstrip('.')}."


def _hint_of(exercise: Attempt, error: Exception) -> str:
    """The exercise's hint for this error; "" where it has none."""
    hints = [hint for part, hint in [*exercise.errors.items(), *ERRORS.items()] if part in str(error)]
    return f" Hint: {hints[0]}" if hints else ""


def _show(verdict: Verdict) -> None:
    """Below the cell; outside a notebook as a line."""
    if "IPython" in sys.modules:
        from IPython.core.getipython import get_ipython
        from IPython.display import display

        if get_ipython() is not None:
            display(verdict)
            return
    print(verdict)
