"""Sphinx extension for the API reference: what autodoc does not know about plopkit's docstrings.

Docstrings are Google style. Text in single backticks is code, and a link where it names something public: `local_pod`
in its own module or class, `plopkit.pod.local_pod` anywhere.
"""

import importlib
import inspect
import re
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import api
from docutils import nodes
from docutils.utils import unescape
from pydantic import BaseModel
from sphinx.application import Sphinx
from sphinx.domains.python import PyXRefRole
from sphinx.util.typing import stringify_annotation

import plopkit

HOMES = {name: module for module, names in plopkit._MODULES.items() for name in names}
"""By name of the façade: the module that defines it."""
HIDDEN_COLON = "\ufdd0"  # a code point that no text contains


def public_members(module: ModuleType) -> Iterator[tuple[str, Any]]:
    """A module's `__all__`, or the public classes and functions that it defines, in the order of the source."""
    if hasattr(module, "__all__"):
        yield from ((name, getattr(module, name)) for name in module.__all__)
        return
    for name, member in vars(module).items():
        own = getattr(member, "__module__", None) == module.__name__
        if own and not name.startswith("_") and (inspect.isclass(member) or inspect.isfunction(member)):
            yield name, member


def contents(module: ModuleType) -> list[str]:
    """A table of a module's members: each one's name, linked to its description, and its first line."""
    names = []
    for name, member in public_members(module):
        if inspect.getdoc(member) and (inspect.isclass(member) or inspect.isroutine(member)):
            full = f"{member.__module__}.{getattr(member, '__name__', name)}"
            names.append(full.removeprefix(f"{module.__name__}."))
    return ["", ".. autosummary::", "   :nosignatures:", "", *(f"   ~{name}" for name in names), ""] if names else []


def fields(model: type[BaseModel]) -> list[str]:
    """A section with a pydantic model's own fields: type, description and default of each."""
    lines = []
    for name in inspect.get_annotations(model):
        if (field := model.model_fields.get(name)) is None:
            continue
        description = (field.description or "").rstrip(".")
        if not field.is_required() and not isinstance(field.default, BaseModel):
            default = "a new value" if field.default_factory else f"`{field.default!r}`"
            description += f". Default: {default}"
        lines.append(f"    {name} ({stringify_annotation(field.annotation, 'smart')}): {description}.")
    return ["", "Fields:", *lines, ""] if lines else []


def before_napoleon(app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    """Add to a docstring what the code says already: a module's contents, a model's fields.

    Napoleon takes what is before a colon in the first line of an attribute's docstring for its type: hide the colon.
    """
    if what == "module":
        lines += contents(member)
    elif what == "class" and isinstance(member, type) and issubclass(member, BaseModel):
        lines += fields(member)
    elif what in ("attribute", "data", "property") and lines:
        lines[0] = lines[0].replace(":", HIDDEN_COLON)


def after_napoleon(app: Sphinx, what: str, name: str, member: Any, options: Any, lines: list[str]) -> None:
    lines[:] = [line.replace(HIDDEN_COLON, ":") for line in lines]


def signature(
    app: Sphinx, what: str, name: str, member: Any, options: Any, text: str | None, returned: str | None
) -> tuple[str, str | None] | None:
    """No signature for a pydantic model, whose fields are listed; names instead of `<function f>` as defaults."""
    if isinstance(member, type) and issubclass(member, BaseModel):
        return "", None
    return (re.sub(r"<(?:class|function) '?([\w.]+)'?[^>]*>", r"\1", text), returned) if text else None


def leave_out(app: Sphinx, what: str, name: str, member: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what other packages add to a class."""
    foreign = inspect.isroutine(member) and not (getattr(member, "__module__", None) or "").startswith("plopkit")
    return True if foreign or name.startswith("model_") else None


def clear_field_docs(app: Sphinx) -> None:
    """Remove "Alias for field number 0" from named tuples, so that only fields with a docstring are described."""
    for name in api.every_module():
        try:
            members = vars(importlib.import_module(name)).values()
        except ImportError:  # an optional dependency is not installed
            continue
        for member in members:
            for field in getattr(member, "_fields", ()) if inspect.isclass(member) else ():
                if type(getter := vars(member).get(field)).__name__ == "_tuplegetter":
                    getter.__doc__ = ""


class CodeOrLink(PyXRefRole):
    """The role of text in single backticks: a link to what it names, if it is a name, and code otherwise."""

    def __call__(self, name: str, rawtext: str, text: str, *rest: Any, **options: Any) -> Any:
        if re.fullmatch(r"[\w.]+", text):
            module, _, attribute = text.rpartition(".")
            if module == "plopkit" and attribute in HOMES:
                text = f"{text} <plopkit.{HOMES[attribute]}.{attribute}>"
            return super().__call__("py:obj", rawtext, text, *rest, **options)
        return [nodes.literal(rawtext, unescape(text))], []


def setup(app: Sphinx) -> dict[str, bool]:
    app.setup_extension("sphinx.ext.autodoc")
    app.add_role("code_or_link", CodeOrLink())
    app.connect("autodoc-process-docstring", before_napoleon, priority=400)
    app.connect("autodoc-process-docstring", after_napoleon, priority=600)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", leave_out)
    app.connect("builder-inited", clear_field_docs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
