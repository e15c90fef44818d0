"""A notebook's parameters cell -> Settings. Papermill only warns of a misspelt parameter; here it is refused."""

import ast
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plopkit.presets import configure
from plopkit.settings import Settings
from plopkit.support.errors import unknown

KNOWN = ("scenario", "method", "preset", "overrides", "data_root", "out")


def from_parameters(
    namespace: Mapping[str, Any], method: str | None = None, lesson: bool = False, also: Sequence[str] = ()
) -> Settings:
    """The settings that ``scenario, method, preset, overrides, data_root, out`` in a notebook's ``globals()`` mean.

    method: another than the cell's, so that a notebook can compare several; a cell that has none may leave it out.
    lesson: with the fewer scenes of the lessons, so that all of them share the same runs.
    also: parameters that this notebook has beside these, and that are no settings.

    overrides: dotted settings, e.g. ``{"optim.lr": 0.01}``, or papermill's text ``"optim.lr=0.01 seed=1"``. ValueError
    for a parameter that papermill brought and nobody knows, for one that is missing, and for a wrong setting.
    """
    for name in _injected(namespace):
        if name not in (known := (*KNOWN, *also)):
            raise unknown("parameter", name, known)
    missing = [name for name in KNOWN if name not in namespace and not (method and name == "method")]
    if missing:
        raise ValueError(f"the parameters cell must set {', '.join(missing)}; known: {', '.join(KNOWN)}")
    given = {"out": namespace["out"]} | _dotted(namespace["overrides"])
    if namespace["data_root"]:
        given["data.root"] = namespace["data_root"]
    return configure(namespace["scenario"], method or namespace["method"], namespace["preset"], given, lesson)


def paths_of(files: str | Iterable[str | Path]) -> list[Path]:
    """The files that ``checkpoints`` in a parameters cell means: a list, or papermill's text ``"step0.pth step1.pth"``.

    FileNotFoundError for one that is not there.
    """
    found = [Path(file).expanduser() for file in (shlex.split(files) if isinstance(files, str) else files)]
    for path in found:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file; checkpoints are one file for each step, in order")
    return found


def _dotted(overrides: Any) -> dict[str, Any]:
    """A dictionary as it is, or ``name=value`` words; pydantic reads numbers out of text."""
    if isinstance(overrides, Mapping):
        return dict(overrides)
    pairs = [word.partition("=") for word in str(overrides or "").split()]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise ValueError(f'overrides are a dictionary or words like "optim.lr=0.01", not {wrong[0]!r}')
    return {name: value for name, _, value in pairs}


def _injected(namespace: Mapping[str, Any]) -> list[str]:
    """Names assigned in the cells that papermill put in; IPython keeps every cell's text in ``In``."""
    names = []
    for cell in namespace.get("In", ()):
        if cell.startswith("# Parameters\n"):
            assigned = [node for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
            names += [target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)]
    return names
