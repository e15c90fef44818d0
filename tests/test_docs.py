"""What the documents name exists: modules, tests, files."""

import importlib
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from plopkit.cli import EXIT_CODES
from plopkit.commands.data import LOOKED_AT
from plopkit.support import moved

ROOT = Path(__file__).resolve().parent.parent


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_moved_modules_are_where_the_table_says() -> None:
    table = re.findall(r"^\| `plopkit\.([\w.]+)` \| `(plopkit[\w.]*)` \|$", text("docs/moved.md"), flags=re.MULTILINE)
    assert sorted(old for old, _ in table) == sorted(moved.moves().modules)
    assert [new for _, new in table if find_spec(new) is None] == []


@pytest.mark.parametrize("name", re.findall(r"`(plopkit(?:\.\w+)+)`", text("docs/moved.md").partition("## Names")[2]))
def test_moved_names_are_where_the_table_says(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    assert hasattr(importlib.import_module(module), attribute)


def test_fidelity_names_tests_that_exist() -> None:
    files = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py")}
    names = set(re.findall(r"`(test_\w+(?:\.py)?)`", text("docs/fidelity.md")))
    assert {name for name in names if name.endswith(".py")} <= set(files)
    functions = {name for name in names if not name.endswith(".py")}
    assert {name for name in functions if not any(f"def {name}(" in source for source in files.values())} == set()


def test_readme_lists_every_guide() -> None:
    links = re.findall(r"\]\(docs/guides/([\w-]+)\.md\)", text("README.md").partition("## Where to go next")[2])
    assert sorted(links) == sorted(path.stem for path in (ROOT / "docs" / "guides").glob("*.md"))


@pytest.mark.parametrize("name", ["data/README.md", "tests/golden/README.md"])
def test_tables_of_files_are_complete(name: str) -> None:
    folder = (ROOT / name).parent
    rows = [row.split("|")[1] for row in text(name).splitlines() if row.startswith("| `")]
    listed = {file for row in rows for file in re.findall(r"`([^`]+)`", row)}
    patterns = (
        "*.csv",
        "*.json",
        "*.npz",
        "later/*.json",
        "later/*.npz",
        "later/*.json",
        "classes/*.txt",
        "measured/*",
        "twemoji/",
    )  # not what is downloaded into data/
    assert {file.rstrip("/") for file in listed} == {
        str(path.relative_to(folder)) for pattern in patterns for path in folder.glob(pattern)
    }


def test_there_is_one_table_of_exit_codes() -> None:
    tables = {
        str(path.relative_to(ROOT)): found
        for path in [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
        if (
            found := re.findall(
                r"^\| (\d+) \|",
                path.read_text(encoding="utf-8").partition("## Exit codes")[2].partition("\n## ")[0],
                re.M,
            )
        )
    }
    assert list(tables) == ["docs/guides/settings.md"]
    known = [code for codes in EXIT_CODES for code in codes.split(", ")]
    assert sorted(tables["docs/guides/settings.md"]) == sorted(known)


def test_the_guide_names_the_settings_that_a_check_looks_at() -> None:
    sentence = re.search(r"`data check` takes ((?:`[\w.]+`[,\s]*|and )+)\.", text("docs/guides/settings.md"))
    assert sentence
    names = set(re.findall(r"`([\w.]+)`", sentence[1]))
    assert names == {name.rstrip(".") for name in LOOKED_AT} | {"scenario", "method", "preset", "recipe"}
