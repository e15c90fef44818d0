"""Source as text that is the same in all versions of Python, whatever its comments, docstrings and formatting."""

import ast
import hashlib
from typing import Any

N_DIGITS = 16


def short_digest(content: bytes) -> str:
    """The first digits of the SHA-256."""
    return hashlib.sha256(content).hexdigest()[:N_DIGITS]


def text_of(tree: ast.AST) -> str:
    """A syntax tree as text that is the same in all versions of Python. `ast.dump` changes with them."""
    parts: list[str] = []
    _write(tree, parts)
    return "".join(parts)


def _write(value: Any, parts: list[str]) -> None:
    if isinstance(value, ast.AST):
        parts.append(f"({type(value).__name__}")
        for name in value._fields:
            if name not in ("ctx", "kind", "type_comment", "type_ignores"):
                child = getattr(value, name, None)
                if child is not None and child != []:  # later versions have further fields, which are empty
                    parts.append(f" {name}=")
                    _write(_joined(child) if isinstance(value, ast.JoinedStr) else child, parts)
        parts.append(")")
    elif isinstance(value, list):
        for item in value:
            if not _says_nothing(item):
                _write(item, parts)
    else:
        parts.append(f"{type(value).__name__}:{value!a}")


def _says_nothing(node: Any) -> bool:
    """Whether a statement is a docstring, or `pass`."""
    is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return is_text or isinstance(node, ast.Pass)


def _joined(values: list[Any]) -> list[Any]:
    """The parts of an f-string with neighbouring texts put together, which versions of Python cut differently."""
    joined: list[Any] = []
    for value in values:
        if isinstance(value, ast.Constant) and joined and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(str(joined[-1].value) + str(value.value))
        elif not (isinstance(value, ast.Constant) and value.value == ""):
            joined.append(value)
    return joined
