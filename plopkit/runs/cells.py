"""The source of what has no file, as a class made in a cell of a notebook: its functions, and what they use."""

import ast
import contextlib
import dis
import inspect
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple

from plopkit.runs.syntax import short_digest, text_of

FOREIGN = frozenset({"pydantic", *sys.stdlib_module_names}) - {"__main__"}
"""Distributions whose classes a method has as bases, and which are not read."""
Plain = str | int | float | bool | None


class Cells(NamedTuple):
    """What classes and functions without a file consist of."""

    digests: dict[str, str]
    """of each of them, by its name"""
    modules: list[str]
    """those with a file that their functions use"""


def cells_of(kinds: Sequence[type]) -> Cells:
    """The digests of the classes that have no file, and of functions put into others after their definition.

    They are those of their source, which a notebook keeps.
    """
    digests: dict[str, str] = {}
    modules: set[str] = set()
    for name, value in _without_file(kinds):
        parts: dict[str, str] = {}
        _describe(name, value, parts, modules)
        text = "\n".join(f"{each} {part}" for each, part in sorted(parts.items()))
        digests[name] = short_digest(text.encode())
    return Cells(digests, sorted(modules))


def _without_file(kinds: Sequence[type]) -> Iterator[tuple[str, Any]]:
    for kind in kinds:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if file_of(kind.__module__) is None:
            yield name, kind
            continue
        for each, member in vars(kind).items():  # PLOP.losses = my_losses
            own = not inspect.isfunction(member) or member.__module__ == kind.__module__
            if not own and not is_foreign(member.__module__ or ""):
                yield f"{name}.{each}", member


def file_of(module: str) -> Path | None:
    """The file that a module was imported from; None for the cells of a notebook."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return Path(file) if file and Path(file).is_file() else None


def is_foreign(module: str) -> bool:
    """Whether a module is one of Python's, or of pydantic's."""
    return module.partition(".")[0] in FOREIGN


def _describe(name: str, value: Any, parts: dict[str, str], modules: set[str]) -> None:
    """Note the source of a function or a class, and of all that it uses; or a plain value."""
    value = inspect.unwrap(getattr(value, "fget", None) or getattr(value, "__func__", None) or value)
    if name in parts:
        return
    if inspect.isfunction(value):
        parts[name] = _function_text(value)
        for used, other in _used(value):
            _describe_used(name, used, other, parts, modules)
    elif inspect.isclass(value):
        parts[name] = ""
        for each, member in vars(value).items():
            if inspect.isfunction(member) or not each.startswith("__"):
                _describe(f"{name}.{each}", member, parts, modules)
    elif _is_plain(value):
        parts[name] = ascii(value)


def _describe_used(by: str, name: str, value: Any, parts: dict[str, str], modules: set[str]) -> None:
    if not (isinstance(value, ModuleType) or inspect.isfunction(value) or inspect.isclass(value)):
        _describe(f"{by}: {name}", value, parts, modules)
        return
    module = value.__name__ if isinstance(value, ModuleType) else value.__module__ or ""
    if is_foreign(module):
        return
    if (file := file_of(module)) is None:
        if not isinstance(value, ModuleType):
            _describe(name, value, parts, modules)
    elif not {"site-packages", "dist-packages"} & set(file.parts):
        modules.add(module)


def _used(function: FunctionType) -> Iterator[tuple[str, Any]]:
    """What a function takes from outside, by its names there."""
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # not assigned yet
            if name != "__class__":
                yield name, cell.cell_contents
    for name in sorted(_globals(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]


def _globals(code: CodeType) -> set[str]:
    """The global names that a function uses, also within functions inside it."""
    own = {each.argval for each in dis.get_instructions(code) if each.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return own.union(*(_globals(each) for each in code.co_consts if isinstance(each, CodeType)))


def _is_plain(value: Any) -> bool:
    """Whether a value looks the same in every process."""
    return all(map(_is_plain, value)) if isinstance(value, tuple | list) else isinstance(value, Plain)


def _function_text(function: FunctionType) -> str:
    try:
        return text_of(ast.parse(textwrap.dedent(inspect.getsource(function))))
    except (OSError, TypeError, SyntaxError):  # typed into Python itself
        return _code_text(function.__code__)


def _code_text(code: CodeType) -> str:
    constants = (_code_text(each) if isinstance(each, CodeType) else ascii(each) for each in code.co_consts)
    return f"{code.co_code.hex()} {code.co_names} {' '.join(constants)}"
