"""The digest of a method's source: what changes it, and what does not."""

import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from plopkit.methods import METHODS
from plopkit.methods.base import Method
from plopkit.runs import sources
from plopkit.runs.sources import TRAINING, changed, digest_of, sources_of
from plopkit.runs.syntax import text_of

HELPER = "FACTOR = 2\n"
BASE = '''"""The base."""
from plopkit.methods import FineTuning
from helper import FACTOR


class Base(FineTuning):
    """A base class."""

    name, title, source = "toy", "toy", "a test"

    def scaled(self, x):
        return f"{x}" "a" if x else FACTOR * x  # a comment
'''
PLUGIN = """from base import Base


class Toy(Base):
    pass
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    for name, text in (("helper", HELPER), ("base", BASE), ("plugin", PLUGIN)):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
    yield tmp_path
    for name in ("helper", "base", "plugin"):
        sys.modules.pop(name, None)


def toy(folder: Path) -> type[Method]:
    """The plugin's class, imported again."""
    for name in ("helper", "base", "plugin"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    spec = importlib.util.spec_from_file_location("plugin", folder / "plugin.py")
    assert spec is not None and spec.loader is not None
    sys.modules["plugin"] = module = importlib.util.module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    spec.loader.exec_module(module)
    sys.dont_write_bytecode = before
    return module.Toy


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_plugin_counts_with_its_bases_and_the_files_beside_it(folder: Path) -> None:
    found = sources_of(toy(folder))
    own = {name for name in found if not name.startswith("plopkit.")}
    assert own == {"plugin", "base", "helper"}
    assert {"plopkit.methods.baselines", "plopkit.methods.base", "plopkit.losses", "plopkit.trainer"} <= set(found)
    assert {"plopkit.datasets.scenario_data", "plopkit.datasets.transforms", "plopkit.runs.steps"} <= set(found)
    assert "plopkit.methods.plop" not in found  # plopkit.methods hands it on, but it is not used


@pytest.mark.parametrize(
    ("file", "old", "new", "module"),
    [
        ("helper.py", "2", "3", "helper"),
        ("base.py", "FACTOR * x", "FACTOR + x", "base"),
        ("base.py", "def scaled(self, x)", "def scaled(self, x=1)", "base"),
        ("plugin.py", "    pass", "    share: float = 2", "plugin"),
    ],
)
def test_changed_code_changes_the_digest(folder: Path, file: str, old: str, new: str, module: str) -> None:
    before = sources_of(toy(folder))
    edit(folder / file, old, new)
    assert changed(before, sources_of(toy(folder))) == [module]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another"),
        ('"""A base class."""', '"""Another text."""'),
        ("FACTOR * x", "(\n            FACTOR\n            * x)"),
        ('f"{x}" "a"', 'f"{x}a"'),
        ("\n", "\r\n"),
        ('"""The base."""', "from typing import TYPE_CHECKING"),
    ],
)
def test_comments_docstrings_and_formatting_do_not_count(folder: Path, old: str, new: str) -> None:
    before = sources_of(toy(folder))
    text = (folder / "base.py").read_text(encoding="utf-8")
    (folder / "base.py").write_bytes(text.replace(old, new).encode())
    assert (changed(before, sources_of(toy(folder))) == []) == ("import" not in new)


def test_a_changed_module_of_plopkit_changes_the_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only of the methods that use it."""
    file = sources._file
    copy = tmp_path / "pod.py"
    copy.write_bytes(file("plopkit.pod").read_bytes() + b"\nEXTRA = 1\n")
    kinds = METHODS["plop"], METHODS["ft"]
    before = [sources._collected((kind,)) for kind in kinds]
    monkeypatch.setattr(sources, "_file", lambda name: copy if name == "plopkit.pod" else file(name))
    after = [sources._collected((kind,)) for kind in kinds]
    assert [changed(*pair) for pair in zip(before, after, strict=True)] == [["plopkit.pod"], []]


def test_what_computes_no_number_is_left_out() -> None:
    for method in METHODS:
        names = set(sources_of(METHODS[method])) - {*TRAINING} if method in ("plop", "rw", "joint") else set()
        tops = {name.split(".")[1] for name in names if name.startswith("plopkit.")}
        assert not tops & {"viz", "widgets", "runs", "lessons", "cli", "settings", "catalogue"}
        support = {name for name in names if name.startswith("plopkit.support")}
        assert support <= {f"plopkit.support.{name}" for name in sources.COUNTED_SUPPORT}


def test_another_process_and_another_folder_give_the_same_digest(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import plugin; from plopkit.runs import sources; "
        "print(sources.digest_of(sources.sources_of(plugin.Toy)))"
    )
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("helper.py", "base.py", "plugin.py"):
        (moved / name).write_bytes((folder / name).read_bytes())
    done = subprocess.run([sys.executable, "-c", code, str(moved)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest_of(sources_of(toy(folder)))


def test_a_package_counts_with_what_it_takes_in(folder: Path) -> None:
    package = folder / "family"
    package.mkdir()
    (package / "__init__.py").write_text("from .first import *\nfrom .second import *\n" + BASE, encoding="utf-8")
    for name in ("first", "second"):
        (package / f"{name}.py").write_text("VALUE = 1\n", encoding="utf-8")
    (folder / "plugin.py").write_text(PLUGIN.replace("base import Base", "family import *"), encoding="utf-8")
    try:
        own = {name for name in sources_of(toy(folder)) if not name.startswith("plopkit.")}
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "family"]:
            del sys.modules[name]
    assert own == {"plugin", "family", "family.first", "family.second", "helper"}


@pytest.mark.parametrize("content", [b"\x7fELF\x00\xff", b"print 'old'\n"], ids=["compiled", "Python 2"])
def test_a_file_that_cannot_be_parsed_counts_by_its_bytes(folder: Path, content: bytes) -> None:
    kind = toy(folder)
    (folder / "helper.py").write_bytes(content)
    before = sources._collected((kind,))
    assert "helper" in before
    (folder / "helper.py").write_bytes(content + b"1")
    assert changed(before, sources._collected((kind,))) == ["helper"]


CELLS = """
import plopkit
import helper
RATE = 2

def scaled(x):
    return RATE * x

class Toy(plopkit.METHODS["ft"]):
    def losses(self, batch):
        return {name: 1.0 * scaled(loss) * helper.FACTOR for name, loss in super().losses(batch).items()}
"""


def in_cells(text: str) -> type[Method]:
    """The class of a notebook whose cells are this; like Python itself, it keeps no source."""
    names = {"__name__": "no_such_file"}
    exec(text, names)
    return names["Toy"]  # type: ignore[return-value]


@pytest.mark.parametrize(("old", "new"), [("1.0 *", "3.0 *"), ("RATE * x", "RATE + x"), ("RATE = 2", "RATE = 3")])
def test_what_a_class_uses_of_other_cells_counts(folder: Path, old: str, new: str) -> None:
    first, same, other = (sources_of(in_cells(text)) for text in (CELLS, CELLS, CELLS.replace(old, new)))
    assert first == same
    assert changed(first, other) == ["no_such_file.Toy"]
    assert "helper" in first


def test_a_class_whose_helper_is_made_again_counts_again(folder: Path) -> None:
    kind = in_cells(CELLS)
    before = sources_of(kind)
    exec("def scaled(x):\n    return -x", kind.losses.__globals__)
    assert changed(before, sources_of(kind)) == ["no_such_file.Toy"]


def test_a_method_replaced_in_a_notebook_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plop = METHODS["plop"]
    before = sources_of(plop)
    monkeypatch.setattr(plop, "losses", in_cells(CELLS).losses)
    assert changed(before, sources_of(plop)) == ["helper", "plopkit.methods.plop.PLOP.losses"]


def test_a_class_made_in_a_notebook_counts_by_its_functions() -> None:
    def made(factor: int) -> type[Method]:
        class Cell(METHODS["ft"]):  # type: ignore[misc, valid-type]
            weight: ClassVar[int] = factor

        Cell.__module__ = "no_such_file"
        return Cell

    first, same, other = (sources_of(made(factor)) for factor in (1, 1, 2))
    assert first == same != other


def test_the_text_of_a_tree_is_the_one_of_every_version_of_python() -> None:
    """Written down once: fields that later versions have added, and are empty, must not show."""
    code = "def f(x, *, y=-1.5):\n    'doc'\n    return f'{x!r:>{y}}' 'é', []\n"
    assert text_of(ast.parse(code)) == (
        "(Module body=(FunctionDef name=str:'f' args=(arguments args=(arg arg=str:'x') kwonlyargs=(arg arg=str:'y') "
        "kw_defaults=(UnaryOp op=(USub) operand=(Constant value=float:1.5))) body=(Return value=(Tuple elts=(JoinedStr "
        "values=(FormattedValue value=(Name id=str:'x') conversion=int:114 format_spec=(JoinedStr values=(Constant "
        "value=str:'>')(FormattedValue value=(Name id=str:'y') conversion=int:-1)))(Constant value=str:'\\xe9'))"
        "(List)))))"
    )
