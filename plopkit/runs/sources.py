"""The digest of the source that computes a run's numbers: the method's, and the modules that it and training use.

It is taken over the syntax trees. Comments, docstrings, formatting and line ends do not count, nor do the folder and
the version of Python. What computes no number, such as pictures, progress and files, is left out.
"""

import ast
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from plopkit.runs.cells import cells_of, file_of, is_foreign
from plopkit.runs.syntax import short_digest, text_of

PACKAGE = "plopkit"
TRAINING = ("plopkit.runs.steps", "plopkit.datasets.scenario_data")
"""What every step is trained and evaluated by, and the images that it gets; with all that they import."""
COUNTED_SUPPORT = ("colours", "prediction", "precision", "seeding")
"""The modules of `plopkit.support` that compute numbers."""
LEFT_OUT = (
    *(
        "catalogue",
        "cli",
        "flags",
        "grammar",
        "grids",
        "lessons",
        "parameters",
        "presets",
        "recipes",
        "runs",
        "settings",
    ),
    *("viz", "widgets"),
)
"""What computes no number from the images, or only settings, which are compared by themselves."""

Sources = dict[str, str]
"""The digest of each module by its name."""


class Parsed(NamedTuple):
    """What a file says."""

    digest: str
    imports: tuple[tuple[str, str, int], ...]
    """(module, imported name or "", dots)"""


def digest_of(sources: Sources) -> str:
    """One digest of all modules."""
    return short_digest("".join(f"{name} {digest}\n" for name, digest in sorted(sources.items())).encode())


def changed(before: Sources, now: Sources) -> list[str]:
    """The names of the modules that differ."""
    return sorted(name for name in {**before, **now} if before.get(name) != now.get(name))


def sources_of(*methods: type) -> Sources:
    """The modules of the methods' classes and bases, those that train, and all that they import.

    Followed are imports of plopkit's modules and, in any other file, of files next to it and of its own package. What
    is imported by a name that is only known when it runs, as by `importlib.import_module(name)`, is not.

    Args:
        methods: the classes. One that was made in a notebook has the source of its functions, and of what they use of
            the notebook's other cells.
    """
    cells = cells_of(_bases(methods))
    return dict(sorted((cells.digests | _in_files(methods, tuple(cells.modules))).items()))


def _bases(methods: tuple[type, ...]) -> list[type]:
    """The classes and their bases, as far as they count."""
    bases = dict.fromkeys(base for kind in methods for base in kind.__mro__)
    return [base for base in bases if not is_foreign(base.__module__)]


@lru_cache(64)
def _in_files(methods: tuple[type, ...], modules: tuple[str, ...]) -> Sources:
    """The modules that are files, as they were when they were asked for first."""
    return _collected(methods, modules)


def _collected(methods: tuple[type, ...], modules: tuple[str, ...] = ()) -> Sources:
    found: Sources = {}
    waiting: dict[str, Path] = {name: _file(name) for name in TRAINING}
    for module in (*(base.__module__ for base in _bases(methods)), *modules):
        if (file := file_of(module)) is not None and _counts(module):
            waiting[_name_of(module, file)] = file
    while waiting:
        name, path = waiting.popitem()
        parsed = _parsed(path, *_stamp(path))
        found[name] = parsed.digest
        waiting |= {other: file for other, file in _imported(name, path, parsed) if other not in found}
    return found


def _name_of(module: str, path: Path) -> str:
    """The name under which a module is noted: a plugin's does not depend on what else is loaded."""
    if "." in module:
        return module
    return path.parent.name if path.name == "__init__.py" else path.name.partition(".")[0]


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
        origin = _origin(item, file) if item not in ("", "*") and file.name == "__init__.py" else None
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
    content = path.read_bytes()
    try:
        tree = ast.parse(content.replace(b"\r\n", b"\n"))  # also within texts
    except (SyntaxError, ValueError):  # compiled, or not meant to be imported by this version of Python
        return Parsed(short_digest(content), ())
    return Parsed(short_digest(text_of(tree).encode()), tuple(dict.fromkeys(_imports(tree))))


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
