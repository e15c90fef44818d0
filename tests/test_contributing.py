"""CONTRIBUTING.md is true: its layers are the linter's, and its recipes run as written."""

import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from blocks import blocks, commands, shrunk, write_files

from plopkit import cli
from plopkit.methods.base import Method
from plopkit.viz import colours

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """The text below a heading of the second level."""
    return re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:][titles().index(title)]


def titles() -> list[str]:
    return re.findall(r"^## (.+)$", TEXT, flags=re.MULTILINE)


@pytest.fixture
def follow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, no_pictures: None, own_registries: None
) -> Callable[[str], Path]:
    """``follow(title)``: write a recipe's files into a folder of the test and run its commands there."""

    def run(title: str) -> Path:
        write_files(section(title), tmp_path)
        monkeypatch.chdir(tmp_path)
        for program, *words in commands(section(title)):
            assert program == "plopkit"
            assert cli.main(shrunk(words)) == 0, shlex.join(words)
        return tmp_path / "runs"

    return run


# --- the text


def test_the_layers_are_those_of_the_linter() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    layers = [re.findall(r"\w+", line) for line in project["tool"]["importlinter"]["contracts"][0]["layers"]]
    (block,) = blocks(section("The layers"))
    assert [sorted(line.split()) for line in block.text.splitlines()] == [sorted(names) for names in layers]


def test_the_table_lists_every_verb_of_a_method() -> None:
    verbs = {name for name, member in vars(Method).items() if callable(member) and not name.startswith("_")}
    text = (ROOT / "docs" / "guides" / "plugins.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+)\(", text, flags=re.MULTILINE)
    assert set(listed) == verbs
    assert len(listed) == len(verbs)


def test_every_python_block_is_in_a_recipe_that_is_tested() -> None:
    tested = {"Add a metric", "Add a colour"}
    python = {title: blocks(section(title), "python") for title in titles()}
    assert {title for title in titles() if python[title]} == tested
    assert [block.text for found in python.values() for block in found if not block.file] == []


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
    (block,) = blocks(section("Add a colour"), "python")
    exec(block.text, {})
    assert colours.method_styles(["ft", "features"])["features"] == {"color": "#117733", "marker": "8"}
