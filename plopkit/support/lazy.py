"""Names that a package offers without importing their modules until they are used."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_attributes(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` (PEP 562) of a package, for names whose modules are expensive to import or may be missing.

    Args:
        package: the package's `__name__`.
        modules: the module of each name, relative to the package.

    Example:
        >>> __getattr__ = lazy_attributes(__name__, {"pod_explorer": "explorer"})
    """

    def get(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return get
