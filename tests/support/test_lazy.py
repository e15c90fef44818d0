"""Lazy attributes: a package exports names without importing the modules that define them."""

import sys

import pytest

from plopkit.support.lazy import lazy_attributes


def test_a_module_is_imported_on_first_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "json.tool", raising=False)
    get = lazy_attributes("json", {"main": "tool"})
    assert "json.tool" not in sys.modules
    assert get("main") is sys.modules["json.tool"].main


def test_an_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'mian'"):
        lazy_attributes("json", {"main": "tool"})("mian")
