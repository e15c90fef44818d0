"""The pages of the API reference: one per group of modules. Their text comes from the docstrings (docstrings.py)."""

import importlib
import pkgutil
from pathlib import Path
from typing import NamedTuple


class Page(NamedTuple):
    """A page of the reference."""

    name: str
    title: str
    modules: tuple[str, ...]
    """Names below plopkit, in the page's order. A package stands for all its public modules."""


PAGES = (
    Page("plopkit", "plopkit", ("",)),
    Page(
        "scenarios",
        "Scenarios and settings",
        (
            *("scenario", "step", "domains", "partition", "ids", "grammar", "orders", "catalogue"),
            *("settings", "setting_groups", "setting_values", "identity", "recipes", "method_checks", "presets"),
        ),
    ),
    Page("losses", "Losses", ("losses",)),
    Page(
        "later",
        "Terms of later methods",
        ("binary", "contrast", "cube", "fusion", "memory", "prototypes", "replay", "unknown"),
    ),
    Page("pod", "Local POD", ("pod", "strips")),
    Page("pseudo", "Pseudo-labels and thresholds", ("pseudo", "entropy", "histograms", "thresholds")),
    Page("tiling", "Tiles", ("tiling",)),
    Page("metrics", "Metrics", ("metrics", "confusion")),
    Page("methods", "Methods", ("methods",)),
    Page("model", "The network", ("model",)),
    Page("datasets", "Data sets", ("datasets",)),
    Page("trainer", "Training", ("trainer", "training", "ticks", "optimizer", "backward", "compute")),
    Page("runs", "Runs", ("runs",)),
    Page("grids", "Many runs", ("grids",)),
    Page("viz", "Figures", ("viz",)),
    Page("widgets", "Widgets", ("widgets",)),
    Page("lessons", "Lessons", ("lessons",)),
    Page("cli", "Command line and parameters", ("cli", "commands", "config", "flags", "parameters")),
    Page("support", "Support", ("support",)),
)


def modules(page: Page) -> list[str]:
    """The full names of a page's modules, each package before its modules."""
    names = []
    for name in page.modules:
        full = f"plopkit.{name}".rstrip(".")
        names.append(full)
        if name:
            names += _submodules(full)
    return names


def every_module() -> list[str]:
    """All public modules of the package."""
    return ["plopkit", *_submodules("plopkit")]


def _submodules(package: str) -> list[str]:
    paths = getattr(importlib.import_module(package), "__path__", [])
    names = [info.name for info in pkgutil.walk_packages(paths, f"{package}.")]
    return [name for name in names if not any(word.startswith("_") for word in name.split("."))]


def write(folder: Path) -> None:
    """Write the sources of all pages, and `index.rst`, which lists them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"   * - :doc:`{page.name}`\n     - {', '.join(_literal(name) for name in page.modules)}" for page in PAGES]
    toctree = [".. toctree::", "   :hidden:", "", *(f"   {page.name}" for page in PAGES)]
    index = [_title("API reference", "="), ".. list-table::", "", *rows, "", *toctree, ""]
    (folder / "index.rst").write_text("\n".join(index), encoding="utf-8")
    for page in PAGES:
        (folder / f"{page.name}.rst").write_text(source(page), encoding="utf-8")


def source(page: Page) -> str:
    """A page in reStructuredText."""
    names = modules(page)
    parts = [_title(page.title, "=")]
    for name in names:
        if name != page.title:
            parts.append(_title(name, "-"))
        parts.append(f".. automodule:: {name}\n   :members:\n   :ignore-module-all:\n")
    return "\n".join(parts)


def _literal(module: str) -> str:
    return f"``plopkit.{module}``" if module else "``plopkit``, the names that users need"


def _title(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"
