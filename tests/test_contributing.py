"""CONTRIBUTING.md is true: its layers are the linter's, its table lists every verb, and its recipes run as written."""

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from small_runs import SMALL

from plopkit import catalogue, cli, metrics
from plopkit.methods.base import Method
from plopkit.viz import colours

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


class Recipe(NamedTuple):
    """A section's code: files by name, and commands as words."""

    files: dict[str, str]
    commands: list[list[str]]


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:][titles().index(title)]


def titles() -> list[str]:
    return re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)


def recipe(title: str) -> Recipe:
    """The Python blocks, which begin with a file's name in a comment, and the lines of the shell blocks."""
    files = {}
    for block in re.findall(r"^```python\n(.*?)^```", section(title), flags=re.MULTILINE | re.DOTALL):
        name = re.match(r"# (\w+\.py)\n", block)
        assert name, f"a Python block in {title!r} does not begin with its file's name: {block[:60]}"
        files[name[1]] = block
    shell = "".join(re.findall(r"^```sh\n(.*?)^```", section(title), flags=re.MULTILINE | re.DOTALL))
    return Recipe(files, [shlex.split(line, comments=True) for line in shell.splitlines() if line])


def shrunk(words: list[str]) -> list[str]:
    """The command with a smaller network and fewer images, where it trains and does not set them itself."""
    if words[1] != "run":
        return words
    more = []
    for name, value in SMALL.items():
        flag = "--" + name.replace("_", "-")
        if flag not in words:
            more += [flag, *([] if value is True else map(str, value if isinstance(value, tuple) else (value,)))]
    return words + more


@pytest.fixture
def follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pictures: None) -> Iterator[Callable[[str], Path]]:
    """``follow(title)``: write a recipe's files into a folder of the test and run its commands there."""
    monkeypatch.setattr(catalogue, "_plugins", {})  # else every command that a later test writes would name them
    registries = (metrics.PER_CLASS, metrics.PER_STEP)
    known = [set(registry) for registry in registries]

    def run(title: str) -> Path:
        files, commands = recipe(title)
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        for words in map(shrunk, commands):
            assert words[0] == "plopkit"
            assert cli.main(words[1:]) == 0, shlex.join(words)
        return tmp_path / "runs"

    yield run
    for registry, names in zip(registries, known, strict=True):
        for name in set(registry) - names:
            del registry[name]


# --- the text


def test_the_layers_are_those_of_the_linter() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = [re.findall(r"\w+", line) for line in project["tool"]["importlinter"]["contracts"][0]["layers"]]
    block = re.search(r"^```\n(.*?)^```", section("The layers"), flags=re.MULTILINE | re.DOTALL)
    assert block
    assert [sorted(line.split()) for line in block[1].splitlines()] == [sorted(names) for names in layers]


def test_the_table_lists_every_verb_of_a_method() -> None:
    verbs = {name for name, member in vars(Method).items() if callable(member) and not name.startswith("_")}
    listed = re.findall(r"^\| `(\w+)\(", section("Add a method"), flags=re.MULTILINE)
    assert set(listed) == verbs
    assert len(listed) == len(verbs)


def test_every_python_block_is_in_a_recipe_that_is_tested() -> None:
    tested = {"Add a metric", "Add a colour"}
    assert {title for title in titles() if "```python" in section(title)} == tested


# --- the recipes


def test_a_metric_is_added(follow: Callable[[str], Path]) -> None:
    (path,) = follow("Add a metric").glob("*/results.csv")
    table = pd.read_csv(path)
    summary = pd.read_csv(path.with_name("summary.csv"))
    worst = [rows["iou"].min() for _, rows in table.groupby("step")]
    np.testing.assert_allclose(summary["worst"], worst, atol=1e-6)
    assert table["precision"].dropna().between(0, 100).all()
    first = table[table["step"] == 0]
    assert not np.allclose(first["precision"].fillna(0), first["accuracy"].fillna(0))


def test_a_colour_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(colours, "METHOD_STYLES", dict(colours.METHOD_STYLES))
    (text,) = recipe("Add a colour").files.values()
    exec(text, {})
    assert colours.method_styles(["ft", "features"])["features"] == {"color": "#117733", "marker": "8"}
