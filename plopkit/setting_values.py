"""Settings as plain values: validated, with dotted names or nested, and errors that name what is known."""

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from plopkit.support.printable import one_line

M = TypeVar("M", bound=BaseModel)


def build(kind: type[M], values: Any, where: str = "", context: str | None = None) -> M:
    """Validate values.

    Args:
        kind: The model.
        values: Its fields, as plain values.
        where: A prefix for the names of settings in messages, such as "hyper.".
        context: `plopkit.settings.FROM_FILE` for settings that a run has left behind.

    Raises:
        ValueError: Lists each wrong setting, its value and what is possible.
    """
    try:
        return kind.model_validate(values, context=context)
    except ValidationError as error:
        raise ValueError("\n".join(_explained(kind, item, where) for item in error.errors())) from None


def flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Dotted names: `{"optim": {"lr": 0.1}}` -> `{"optim.lr": 0.1}`; names that are dotted already stay as they are."""
    dotted: dict[str, Any] = {}
    for name, value in tree.items():
        dotted |= flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
    return dotted


def nested(dotted: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `flat`: `{"optim.lr": 0.1}` -> `{"optim": {"lr": 0.1}}`.

    Raises:
        ValueError: A name is both a setting and a group of settings.
    """
    tree: dict[str, Any] = {}
    for name, value in dotted.items():
        *above, last = name.split(".")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                raise ValueError(f"setting {name!r}: {part!r} has a value as well, so it cannot be a group of settings")
        if isinstance(branch.get(last), dict):
            raise ValueError(
                f"{name!r} = {value!r}: this is a group of settings, such as {name}.{next(iter(branch[last]))}"
            )
        branch[last] = value
    return tree


def known_names(kind: type[BaseModel], prefix: str = "") -> list[str]:
    """The dotted names of all settings."""
    names: list[str] = []
    for name, field in kind.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            names += known_names(inner, f"{prefix}{name}.")
        else:
            names.append(prefix + name)
    return names


def _explained(kind: type[BaseModel], item: Any, where: str) -> str:
    name = one_line(where + ".".join(str(part) for part in item["loc"]))
    if item["type"] == "extra_forbidden":
        known = known_names(kind, where)
        near = difflib.get_close_matches(name, known, n=3)  # the name has been cut: this takes the square of its length
        guess = f" (did you mean {' or '.join(near)}?)" if near else ""
        return f"there is no setting {name!r}{guess}; known: {', '.join(known)}"
    message = item["msg"].removeprefix("Value error, ")
    value = repr(item["input"])
    if message.startswith(value):
        return message
    return f"{name or 'settings'} = {one_line(value, 300)}: {one_line(message, 1000)}"
