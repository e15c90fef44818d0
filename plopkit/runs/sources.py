"""The digest of the source that computes a run's numbers: the method's, and the modules that it and training use.

It is taken over the syntax trees. Comments, docstrings, formatting and line ends do not count, nor do the folder and
the version of Python. What computes no number, such as pictures, progress and files, is left out.
"""

import ast
import hashlib
import inspect
import sys
import textwrap
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = "plopkit"
TRAINING = ("plopkit.trainer", "plopkit.model.folded", "plopkit.model.layout")
"""What every step is trained and evaluated by."""
COUNTED_SUPPORT = ("colours", "prediction", "precision", "seeding")
"""The modules of `plopkit.support` that compute numbers."""
LEFT_OUT = (
    *("catalogue", "cli", "flags", "grammar", "grids", "lessons", "parameters", "presets", "runs", "settings"),
    *("viz", "widgets"),
)
"""What computes no number from the images, or only settings, which are compared by themselves."""
FOREIGN = frozenset({"pydantic", *sys.stdlib_module_names})
"""Distributions whose classes a method has as bases, and which are not read."""
N_DIGITS = 16

Sources = dict[str, str]
"""The digest of each module by its name."""


class Parsed(NamedTuple):
    """What a file says."""

    digest: str
    imports: tuple[tuple[str, str, int], ...]
    """(module, imported name or "", dots)"""


def digest_of(sources: Sources) -> str:
    """One digest of all modules."""
    return _short("".join(f"{name} {digest}\n" for name, digest in sorted(sources.items())))


def changed(before: Sources, now: Sources) -> list[str]:
    """The names of the modules that differ."""
    return sorted(name for name in {**before, **now} if before.get(name) != now.get(name))


@lru_cache(64)
def sources_of(*methods: type) -> Sources:
    """The modules of the methods' classes and bases, those that train, and all that they import.

    Followed are imports of plopkit's modules and, in any other file, of files next to it and of its own package.

    Args:
        methods: the classes. One that was made in a notebook has the source of its functions.
    """
    return _collected(methods)


def _collected(methods: tuple[type, ...]) -> Sources:
    found: Sources = {}
    waiting: dict[str, Path] = {name: _file(name) for name in TRAINING}
    for base in dict.fromkeys(base for kind in methods for base in kind.__mro__):
        if base.__module__.partition(".")[0] in FOREIGN - {"__main__"}:
            continue
        file = getattr(sys.modules.get(base.__module__), "__file__", None)
        if file is None:
            found[f"{base.__module__}.{base.__qualname__}"] = _class_digest(base)
        elif _counts(base.__module__):
            waiting[_name_of(base.__module__, Path(file))] = Path(file)
    while waiting:
        name, path = waiting.popitem()
        parsed = _parsed(path, *_stamp(path))
        found[name] = parsed.digest
        waiting |= {other: file for other, file in _imported(name, path, parsed) if other not in found}
    return dict(sorted(found.items()))


def _name_of(module: str, path: Path) -> str:
    """The name under which a module is noted: a plugin's does not depend on what else is loaded."""
    return path.stem if "." not in module else module


def _counts(name: str) -> bool:
    """Whether a module is one whose source counts."""
    top, _, rest = name.partition(".")
    if top != PACKAGE:
        return True
    first, _, second = rest.partition(".")
    return second in COUNTED_SUPPORT if first == "support" else bool(first) and first not in LEFT_OUT


def _imported(name: str, path: Path, parsed: Parsed) -> Iterator[tuple[str, Path]]:
    """The modules that a module imports, as far as they count."""
    for module, item, dots in parsed.imports:
        if dots:
            package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
            module = ".".join(filter(None, [*package[: len(package) - dots + 1], module]))
        for other in _resolved(module, item, name, path):
            if _counts(other[0]):
                yield other


def _resolved(module: str, item: str, name: str, path: Path) -> Iterator[tuple[str, Path]]:
    """The files of `import module` or `from module import item` in another file."""
    inner = f"{module}.{item}" if item else module
    if item and (file := _find(inner, name, path)):
        yield inner, file
    elif file := _find(module, name, path):
        origin = _origin(item, file) if item and file.name == "__init__.py" else None
        if origin is not None and module != name:
            inside, original, dots = origin
            if dots:
                inside = ".".join(filter(None, [*module.split(".")[: len(module.split(".")) - dots + 1], inside]))
            yield from _resolved(inside, original, module, file)
        else:
            yield module, file


def _origin(item: str, file: Path) -> tuple[str, str, int] | None:
    """Where a package takes a name from that it hands on; None where it defines it."""
    return next((each for each in _parsed(file, *_stamp(file)).imports if each[1] == item), None)


def _find(module: str, name: str, path: Path) -> Path | None:
    """The file of a module that another one imports; None where it is neither of plopkit nor near."""
    if module.partition(".")[0] == PACKAGE:
        return _file(module)
    # The folder from which the importing module's own name is counted.
    root = path.parents[name.count(".") + (path.name == "__init__.py")] if name != PACKAGE else path.parent
    installed = root.name in ("site-packages", "dist-packages")
    if not module or (installed and module.partition(".")[0] != name.partition(".")[0]):
        return None
    return _file_below(root, module)


def _file(module: str) -> Any:
    """The file of a module of plopkit, or None."""
    return _file_below(Path(__file__).parents[2], module)


def _file_below(root: Path, module: str) -> Path | None:
    place = root.joinpath(*module.split("."))
    candidates = (place / "__init__.py", place.with_name(f"{place.name}.py"))
    return next((path for path in candidates if path.is_file()), None)


def _stamp(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(512)
def _parsed(path: Path, changed_at: int, size: int) -> Parsed:
    """The digest and the imports of a file, as it was at that time."""
    content = path.read_bytes().replace(b"\r\n", b"\n")  # also within texts
    tree = ast.parse(content)
    return Parsed(_short(_text(tree)), tuple(dict.fromkeys(_imports(tree))))


def _class_digest(kind: type) -> str:
    """The digest of a class without a file, by the source of its functions, which a notebook keeps."""
    parts = [kind.__qualname__]
    for name, value in sorted(vars(kind).items()):
        function = inspect.unwrap(getattr(value, "fget", None) or getattr(value, "__func__", None) or value)
        if inspect.isfunction(function):
            try:
                parts.append(name + _text(ast.parse(textwrap.dedent(inspect.getsource(function)))))
            except (OSError, TypeError, SyntaxError):
                parts.append(name + ascii(function.__code__.co_names + function.__code__.co_varnames))
        elif isinstance(value, str | int | float | bool | tuple) and not name.startswith("__"):
            parts.append(f"{name} {value!a}")
    return _short("\n".join(parts))


def _imports(tree: ast.AST) -> Iterator[tuple[str, str, int]]:
    """What a module imports when it runs, also inside functions."""
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and _dotted(block.test).rpartition(".")[2] == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "", 0) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", alias.name, node.level) for alias in node.names)
        elif isinstance(node, ast.Attribute) and (dotted := _dotted(node)).startswith(f"{PACKAGE}."):
            module, _, item = dotted.rpartition(".")
            yield module, item, 0  # import plopkit; plopkit.losses.cross_entropy


def _dotted(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        before = _dotted(node.value)
        return before and f"{before}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ""


def _text(tree: ast.AST) -> str:
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


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]
