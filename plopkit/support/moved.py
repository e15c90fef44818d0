"""Names of version 0.1: those that moved keep working, with a warning; those that are gone say what replaces them.

`moved.csv`, next to this file, has a row for each module that moved (`runfolder`) and for each name that is not where
the row of its module leads (`precision:full`). Under `new` is today's module or "module:name" within the package; under
`instead`, for a name that is gone, what replaces it. A name is gone where its successor takes or holds something else.

`install` makes the modules of version 0.1 importable. A module that still exists, and that lost some of its names,
says `__getattr__ = renamed(__name__)`, hidden from type checkers, which would believe that it has every name.
"""

import csv
import functools
import importlib
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

PACKAGE = "plopkit"


class Moves(NamedTuple):
    """What `moved.csv` says."""

    modules: dict[str, str]
    """Old modules and where their content is now."""
    names: dict[str, str]
    """Old names, "module:name", and where they are now."""
    gone: dict[str, str]
    """Old names, "module:name", and what replaces them, in words."""


@functools.cache
def moves() -> Moves:
    """The table, read when an old name is first used."""
    with open(Path(__file__).with_name("moved.csv"), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    moved = {row["old"]: row["new"] for row in rows if row["new"]}
    return Moves(
        {old: new for old, new in moved.items() if ":" not in old},
        {old: new for old, new in moved.items() if ":" in old},
        {row["old"]: row["instead"] for row in rows if row["instead"]},
    )


def renamed(module: str, content: str = "") -> Callable[[str], Any]:
    """The `__getattr__` of a module of version 0.1: looks its old names up.

    It raises an `ImportError` for a name that is gone, because `from module import name` would hide the text of an
    `AttributeError`.

    Args:
        module: The module's full name.
        content: For a module that is not there any more, where its content is now, within the package.
    """

    def lookup(name: str) -> Any:
        old = f"{module.removeprefix(f'{PACKAGE}.')}:{name}"
        if old in moves().gone:
            raise _gone(old)
        new = moves().names.get(old)
        if new is None and (name.startswith("__") or not content):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        return _moved(old, new or f"{content}:{name}")

    return lookup


def install() -> None:
    """Make the old modules importable; a second call changes nothing."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def _moved(old: str, new: str) -> Any:
    """Import what an old name means, with a warning."""
    module, name = new.split(":")
    value = getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)
    dotted, place = (f"{PACKAGE}.{text.replace(':', '.')}" for text in (old, new))
    warnings.warn(f"{dotted} is now {place}", DeprecationWarning, stacklevel=3)
    return value


def _gone(old: str) -> ImportError:
    return ImportError(f"{PACKAGE}.{old.replace(':', '.')} of plopkit 0.1 is gone; instead: {moves().gone[old]}")


class _Finder(MetaPathFinder, Loader):
    """Finds the old modules, after all other finders have failed, and makes a stand-in for each."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        old = fullname.removeprefix(f"{PACKAGE}.")
        if old == fullname or old not in moves().modules:
            return None
        return ModuleSpec(fullname, self, is_package=any(name.startswith(f"{old}.") for name in moves().modules))

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None  # the usual empty module

    def exec_module(self, module: ModuleType) -> None:
        """Give the stand-in a `__getattr__` that looks names up in the new module."""
        content = moves().modules[module.__name__.removeprefix(f"{PACKAGE}.")]
        module.__dict__["__getattr__"] = renamed(module.__name__, content)
