"""Names that a package offers without importing their modules."""

import sys

import pytest

from plopkit.support.lazy import lazy_attributes


def test_a_module_is_imported_when_its_name_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "json.tool", raising=False)
    get = lazy_attributes("json", {"main": "tool"})
    assert "json.tool" not in sys.modules
    assert get("main") is sys.modules["json.tool"].main


def test_an_unknown_name_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="module 'json' has no attribute 'mian'"):
        lazy_attributes("json", {"main": "tool"})("mian")
