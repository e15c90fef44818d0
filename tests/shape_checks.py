"""The check of types and shapes that conftest.py adds to every function of plopkit."""

import functools
import inspect
import types
from collections.abc import Callable, Iterable
from typing import Any, Self, get_args, get_origin

import jaxtyping
from beartype import BeartypeConf, beartype

# An int is accepted as a float, as in PEP 484.
_checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
_checked_alone = beartype(conf=BeartypeConf(is_pep484_tower=True, violation_type=jaxtyping.TypeCheckError))

_with_shapes = jaxtyping.jaxtyped

WRAPPED = "__beartype_func"
"""Under which name a function of beartype has the one that it checks, as the default of a parameter."""
_INNER: dict[types.CodeType, tuple[dict[str, Any], Any]] = {}
"""Annotations of functions that others define, and the check of a function with the same code."""


def jaxtyped(function: Any = None, *, typechecker: Callable) -> Any:
    """`jaxtyping.jaxtyped` for what names shapes, and beartype alone for all else, which has none to compare.

    jaxtyping checks a function by two others, which it compiles for each, also for a function that another one defines
    each time it runs; it binds the arguments of each call, and checks them twice. Most functions name no shape, and
    that work took a sixth of the time of a small run.
    """
    if function is None:
        return functools.partial(jaxtyped, typechecker=typechecker)
    if not inspect.isfunction(function) or _needs_jaxtyping(function):
        return _with_shapes(function, typechecker=typechecker)
    hints = {name: _checkable(hint) for name, hint in function.__annotations__.items()}
    if "<locals>" not in function.__qualname__:
        return _beartyped(function, hints)
    # Defined again at each call of another function: compiled once, and then applied to what is defined.
    known = _INNER.get(function.__code__)
    if known is None or known[0] != hints:
        cells = tuple(types.CellType() for _ in function.__code__.co_freevars)  # empty, so that nothing is kept alive
        bare = types.FunctionType(function.__code__, function.__globals__, function.__name__, None, cells)
        bare.__qualname__ = function.__qualname__
        _INNER[function.__code__] = known = hints, _beartyped(bare, hints)
    _, checked = known
    if WRAPPED not in (checked.__kwdefaults__ or {}):  # nothing to check
        return _beartyped(function, hints)
    inner = types.FunctionType(checked.__code__, checked.__globals__)
    inner.__kwdefaults__ = checked.__kwdefaults__ | {WRAPPED: function}
    return functools.update_wrapper(inner, function)


def _beartyped(function: types.FunctionType, hints: dict[str, Any]) -> Any:
    """The function, checked by these annotations; those that others read stay as they are."""
    own = function.__annotations__
    function.__annotations__ = hints
    try:
        checked = _checked_alone(function)
    finally:
        function.__annotations__ = own
    checked.__annotations__ = own
    return checked


def check(function: Callable) -> Callable:
    """The function, with its arguments and result checked; jaxtyping calls this for functions that name shapes."""
    function.__annotations__ = {name: _checkable(hint) for name, hint in function.__annotations__.items()}
    return _checked(function)


def _needs_jaxtyping(function: Callable) -> bool:
    """Whether a function names shapes, or has what jaxtyping alone understands: names as text, results one by one."""
    one_by_one = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    return one_by_one or any(isinstance(hint, str) or _has_shape(hint) for hint in function.__annotations__.values())


def _has_shape(hint: Any) -> bool:
    if isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    parts = hint if isinstance(hint, list) else get_args(hint)  # a list: the arguments of a Callable
    return any(_has_shape(part) for part in parts)


def _checkable(hint: Any) -> Any:
    """The annotation as beartype can check it.

    beartype understands ``Self`` only when it decorates a whole class, and it checks an iterable by taking its first
    item, which is then missing from a progress bar over a generator.
    """
    if hint is Self:
        return Any
    return Iterable if get_origin(hint) is Iterable else hint
