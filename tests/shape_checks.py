"""The check of types and shapes that conftest.py adds to every function of plopkit."""

from collections.abc import Callable, Iterable
from typing import Any, Self, get_origin

from beartype import BeartypeConf, beartype

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is accepted as a float, as in PEP 484


def check(function: Callable) -> Callable:
    """The function, with its arguments and result checked; jaxtyping calls this for every function and method."""
    function.__annotations__ = {name: _checkable(hint) for name, hint in function.__annotations__.items()}
    return _checked(function)


def _checkable(hint: Any) -> Any:
    """The annotation as beartype can check it.

    beartype understands ``Self`` only when it decorates a whole class, and it checks an iterable by taking its first
    item, which is then missing from a progress bar over a generator.
    """
    if hint is Self:
        return Any
    return Iterable if get_origin(hint) is Iterable else hint
