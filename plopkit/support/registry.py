"""Registries: entries by name, imported when they are first read, also from other distributions."""

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from plopkit.support.errors import UnknownNameError, unknown_name

T = TypeVar("T")


def load_object(reference: str) -> Any:
    """Import what "module:attribute" names."""
    module, _, attribute = reference.partition(":")
    return getattr(importlib.import_module(module), attribute)


class Registry(MutableMapping[str, T], Generic[T]):
    """Entries by name. An entry may be a "module:attribute" text, which is imported when it is first read.

    Iterating and `in` import nothing. An unknown name raises an error that lists the known ones.

    Example:
        >>> METHODS["my-method"] = MyMethod
        >>> METHODS["my-method"] = "my_package.methods:MyMethod"
    """

    def __init__(self, what: str, group: str, entries: Mapping[str, T | str], hint: str = ""):
        """Make a registry.

        Args:
            what: What an entry is, for error messages.
            group: The group of entry points by which other distributions add entries.
            entries: The built-in entries.
            hint: How further entries become known, for error messages.
        """
        self.what = what
        self.group = group
        self.hint = hint
        self._entries: dict[str, T | str] = dict(entries)
        self._searched = False
        self.version = 0
        """Grows with every change: part of the key of what is cached about entries."""

    @property
    def _all(self) -> dict[str, T | str]:
        """The entries, with those of other distributions. A name that is taken already keeps its entry."""
        if not self._searched:
            self._searched = True
            for point in entry_points(group=self.group):
                self._entries.setdefault(point.name, point.value)
        return self._entries

    def unknown(self, name: str) -> UnknownNameError:
        """The error for a name that has no entry."""
        return unknown_name(self.what, name, self._all, self.hint)

    def __getitem__(self, name: str) -> T:
        if name not in self._all:
            raise self.unknown(name)
        entry = self._all[name]
        if isinstance(entry, str):
            try:
                entry = load_object(entry)
            except Exception as error:
                raise ValueError(
                    f"the {self.what} {name!r} cannot be imported from {entry!r}: {type(error).__name__}: {error}; "
                    "repair or uninstall the package that registers it"
                ) from error
            self._entries[name] = self._checked(name, entry)
        return self._entries[name]  # type: ignore[return-value]

    def __setitem__(self, name: str, entry: T | str) -> None:
        self._entries[name] = entry if isinstance(entry, str) else self._checked(name, entry)
        self.version += 1

    def _checked(self, name: str, entry: Any) -> T:
        if getattr(entry, "name", name) != name:
            raise ValueError(f"a {self.what} is registered as {name!r}, but its name is {entry.name!r}; use one name")
        return entry

    def __delitem__(self, name: str) -> None:
        if name not in self._all:
            raise self.unknown(name)
        del self._entries[name]
        self.version += 1

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def __repr__(self) -> str:
        return f"<Registry of {self.what}s: {', '.join(self._all)}>"
