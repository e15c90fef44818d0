"""Names of version 0.1: each still works, or says what replaces it."""

import importlib
import re
from pathlib import Path

import pytest
from required import missing

from plopkit.support.moved import moves

FROZEN = Path(__file__).resolve().parent.parent / "names_0_1.txt"
NAMES = {
    module: names.split()
    for module, names in (line.split(":") for line in FROZEN.read_text(encoding="utf-8").splitlines()[1:])
}
"""The public names that each module of version 0.1 defined itself."""


def old(module: str, name: str) -> str:
    """A name as `moved.csv` has it."""
    return f"{module.removeprefix('plopkit.')}:{name}"


@pytest.mark.filterwarnings("ignore:plopkit.* is now plopkit:DeprecationWarning")
@pytest.mark.parametrize("module", NAMES)
def test_every_module_and_name_of_version_0_1_works_or_says_what_replaces_it(module: str) -> None:
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != "inplace_abn":
            raise
        missing("inplace-abn", "inplace-abn is not installed: make iabn builds it")
    for name in NAMES[module]:
        if (replacement := moves().gone.get(old(module, name))) is None:
            assert getattr(imported, name) is not None
        else:
            message = f"{module}.{name} of plopkit 0.1 is gone; instead: {replacement}"
            with pytest.raises(ImportError, match=re.escape(message)):
                getattr(imported, name)
            with pytest.raises(ImportError, match=re.escape(message)):
                exec(f"from {module} import {name}", {})


def test_every_name_that_moved_warns_and_says_where_it_is_now() -> None:
    for text, new in moves().names.items():
        module, name = text.split(":")
        message = f"plopkit.{module}.{name} is now plopkit.{new.replace(':', '.')}"
        with pytest.warns(DeprecationWarning, match=f"^{re.escape(message)}$"):
            value = getattr(importlib.import_module(f"plopkit.{module}"), name)
        place, attribute = new.split(":")
        assert value is getattr(importlib.import_module(f"plopkit.{place}"), attribute)


def test_modules_that_moved_lead_to_modules_that_exist() -> None:
    for place in moves().modules.values():
        assert importlib.import_module(f"plopkit.{place}")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("plopkit.nonsense")


def test_the_names_that_are_gone_were_there_and_what_replaces_them_exists() -> None:
    frozen = {old(module, name) for module, names in NAMES.items() for name in names}
    assert set(moves().gone) <= frozen
    assert not set(moves().gone) & set(moves().names)
    for text in moves().gone.values():
        places = re.findall(r"plopkit(?:\.\w+)+", text)
        assert places, text
        for place in places:
            module, _, name = place.rpartition(".")
            assert hasattr(importlib.import_module(module), name), text


def test_a_name_that_never_was_is_an_attribute_error() -> None:
    for module in ("plopkit.viz", "plopkit.trainer", "plopkit.results"):
        assert not hasattr(importlib.import_module(module), "nonsense")
