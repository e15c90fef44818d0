"""Settings <-> a notebook's parameters cell. Papermill only warns of a misspelt parameter; here it is refused."""

import ast
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from plopkit.presets import configure, overrides_of
from plopkit.settings import Settings
from plopkit.support.errors import unknown_name
from plopkit.support.places import expanded
from plopkit.support.plain_yaml import write_yaml

KNOWN = ("scenario", "method", "preset", "overrides", "data_root", "out")
OPTIONAL = ("recipe",)
"""A parameters cell may leave it out: "own"."""


def from_parameters(
    namespace: Mapping[str, Any], method: str | None = None, lesson: bool = False, also: Sequence[str] = ()
) -> Settings:
    """The settings that `scenario, method, preset, overrides, data_root, out` of a parameters cell mean, and `recipe`.

    Args:
        namespace: The notebook's `globals()`. `overrides` are dotted settings, such as `{"optim.lr": 0.01}`, or
            papermill's text, such as `"optim.lr=0.01 seed=1"`.
        method: Another method than the cell's, so that a notebook can compare several; the cell may then leave it out.
        lesson: Whether to take the fewer scenes of the lessons, so that all lessons share the same runs.
        also: Further parameters of this notebook, which are not settings.

    Raises:
        ValueError: Papermill set a parameter that is not known, one is missing, or a setting is wrong.

    Example:
        >>> settings = from_parameters(globals(), method="mib")
    """
    known = (*KNOWN, *OPTIONAL, *also)
    for name in _injected(namespace):
        if name not in known:
            raise unknown_name("parameter", name, known)
    missing = [name for name in KNOWN if name not in namespace and not (method and name == "method")]
    if missing:
        raise ValueError(f"the parameters cell must set {', '.join(missing)}; known: {', '.join(KNOWN)}")
    overrides = {"out": namespace["out"]} | _dotted(namespace["overrides"])
    if namespace["data_root"]:
        overrides["data.root"] = namespace["data_root"]
    recipe = namespace.get("recipe", "own")
    return configure(
        namespace["scenario"], method or namespace["method"], namespace["preset"], overrides, lesson, recipe
    )


def parameters(settings: Settings, preset: str, recipe: str = "own") -> dict[str, Any]:
    """The parameters cell that means these settings."""
    overrides = overrides_of(settings, preset, recipe)
    return {
        "scenario": settings.scenario,
        "method": settings.method,
        "preset": preset,
        **({"recipe": recipe} if recipe != "own" else {}),
        "data_root": overrides.pop("data.root", None),
        "out": overrides.pop("out", str(configure().out)),
        "overrides": overrides,
    }


def parameters_yaml(settings: Settings, preset: str, recipe: str = "own") -> str:
    """`parameters` as a file for `papermill -f`."""
    return write_yaml(parameters(settings, preset, recipe))


def paths_of(files: str | Iterable[str | Path]) -> list[Path]:
    """The files that `checkpoints` in a parameters cell means: a list, or papermill's text `"step0.pth step1.pth"`.

    Raises:
        FileNotFoundError: One of them does not exist.
    """
    paths = [expanded(file) for file in (shlex.split(files) if isinstance(files, str) else files)]
    for path in paths:
        if not path.is_file():
            raise FileNotFoundError(f"{path}: there is no such file; checkpoints are one file for each step, in order")
    return paths


def _dotted(overrides: Any) -> dict[str, Any]:
    """A dictionary as it is, or `name=value` words; pydantic reads numbers out of text."""
    if isinstance(overrides, Mapping):
        return dict(overrides)
    pairs = [word.partition("=") for word in str(overrides or "").split()]
    wrong = [name for name, equals, _ in pairs if not equals]
    if wrong:
        raise ValueError(f'overrides are a dictionary or words like "optim.lr=0.01", not {wrong[0]!r}')
    return {name: value for name, _, value in pairs}


def _injected(namespace: Mapping[str, Any]) -> list[str]:
    """Names assigned in the cells that papermill inserted; IPython keeps every cell's text in `In`."""
    names = []
    for cell in namespace.get("In", ()):
        if cell.startswith("# Parameters\n"):
            assigned = [node for node in ast.parse(cell).body if isinstance(node, ast.Assign)]
            names += [target.id for node in assigned for target in node.targets if isinstance(target, ast.Name)]
    return names
