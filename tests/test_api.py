"""The API reference: every public module has a page, and every docstring is one that Sphinx can read."""

import importlib
import inspect
import io
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from required import missing

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "docs"))

import api


def test_every_public_module_is_on_one_page() -> None:
    listed = [name for page in api.PAGES for name in api.modules(page)]
    assert sorted(listed) == sorted(api.every_module())


def test_pages_describe_modules(tmp_path: Path) -> None:
    api.write(tmp_path)
    assert {path.stem for path in tmp_path.iterdir()} == {"index", *(page.name for page in api.PAGES)}
    assert ".. automodule:: plopkit.pod\n   :members:" in (tmp_path / "pod.rst").read_text(encoding="utf-8")
    assert "plopkit.lessons.pod" in (tmp_path / "lessons.rst").read_text(encoding="utf-8")


def docstrings(module: ModuleType) -> Iterator[tuple[str, str]]:
    """The documented names of a module and their docstrings."""
    yield module.__name__, module.__doc__ or ""
    for name, member in vars(module).items():
        own = getattr(member, "__module__", None) == module.__name__ and hasattr(member, "__name__")
        if not own or name.startswith("_"):
            continue
        yield f"{module.__name__}.{name}", member.__doc__ or ""
        for key, part in vars(member).items() if inspect.isclass(member) else ():
            written_here = hasattr(part, "__get__") and "matplotlib" not in str(getattr(part, "__module__", ""))
            if written_here and not key.startswith("_"):
                yield f"{module.__name__}.{name}.{key}", part.__doc__ or ""


def test_docstrings_are_valid_for_sphinx() -> None:
    """Without building the site: napoleon's output, read by docutils. Names and code are in single backticks."""
    try:
        from docutils.core import publish_doctree
        from sphinx.ext.napoleon import Config, GoogleDocstring
    except ImportError:
        missing("sphinx", "Sphinx is not installed: make site installs it")
    style = Config(napoleon_use_ivar=True, napoleon_numpy_docstring=False)
    wrong = []
    names = [name for name in api.every_module() if name != "plopkit.model.iabn"]  # imports inplace-abn
    for module in map(importlib.import_module, names):
        for name, text in docstrings(module):
            lines = GoogleDocstring(inspect.cleandoc(text), style).lines()
            warnings = io.StringIO()
            settings = {"warning_stream": warnings, "report_level": 2, "halt_level": 5, "raw_enabled": False}
            publish_doctree("\n".join([".. default-role:: code", "", *lines]), settings_overrides=settings)
            wrong += [f"{name}: {line}" for line in warnings.getvalue().splitlines()[:1]]
    assert wrong == []


@pytest.mark.parametrize("page", api.PAGES, ids=lambda page: page.name)
def test_pages_have_a_title_and_modules(page: api.Page) -> None:
    assert api.source(page).startswith(f"{page.title}\n===")
