"""The run-time check of types and shapes that conftest.py puts on every function of plopkit."""

from collections.abc import Callable, Iterable
from typing import Any, Self, get_origin

from beartype import BeartypeConf, beartype

_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))  # an int is a float, as PEP 484 has it


def check(function: Callable) -> Callable:
    """jaxtyping hands over every function and method, with annotations of its own to change."""
    function.__annotations__ = {name: _checkable(hint) for name, hint in function.__annotations__.items()}
    return _checked(function)


def _checkable(hint: Any) -> Any:
    """beartype knows ``Self`` only where it decorates a whole class, and looks into an iterable by taking its first
    item, which a progress bar over a generator then lacks."""
    if hint is Self:
        return Any
    return Iterable if get_origin(hint) is Iterable else hint
