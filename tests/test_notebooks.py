"""The form of the lessons; test_notebooks_00_05.py and test_notebooks_06_09.py run them."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from plopkit.lessons.exercises import all_exercises
from plopkit.parameters import KNOWN

ROOT = Path(__file__).resolve().parent.parent

# Without papermill's output files, which git ignores.
NOTEBOOKS = sorted(p for p in (ROOT / "notebooks").glob("*.ipynb") if not p.name.endswith(".out.ipynb"))
LONGEST = 14  # lines of code in a cell: what fits on a screen with the text that explains it

each = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def read(path: Path) -> NotebookNode:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def cells(notebook: NotebookNode, kind: str, tag: str = "") -> list[NotebookNode]:
    """The cells of this type that have this tag."""
    of_kind = [cell for cell in notebook.cells if cell.cell_type == kind]
    return [cell for cell in of_kind if not tag or tag in cell.metadata.get("tags", ())]


def python(cell: NotebookNode) -> ast.Module:
    """The syntax tree of the cell, with magics as calls."""
    return ast.parse(TransformerManager().transform_cell(cell.source))


def checked(cell: NotebookNode) -> list[str]:
    """The exercises that the cell checks."""
    return re.findall(r'\bcheck\(\s*"([^"]+)"', cell.source)


@each
def test_committed_without_outputs(path):
    notebook = read(path)
    run = [cell.id for cell in cells(notebook, "code") if cell.outputs or cell.execution_count is not None]
    assert run == [], f"nbstripout {path}"
    assert "widgets" not in notebook.metadata, f"nbstripout {path}"


@each
def test_begins_with_what_it_teaches_takes_and_needs(path):
    first = read(path).cells[0]
    assert first.cell_type == "markdown"
    number = path.name[:2]
    assert re.match(rf"# {number} · \S.*\n", first.source), "the title: # NN · Title"
    places = [first.source.find(words) for words in ("**You will learn**", "**It takes**", "**It needs**")]
    assert -1 not in places and places == sorted(places)


@each
def test_has_the_parameters_cell(path):
    (cell,) = cells(read(path), "code", "parameters")
    assigned = [node.targets[0].id for node in python(cell).body]
    shared = [name for name in KNOWN if name in assigned]
    assert set(KNOWN) - {"method"} <= set(shared)
    own = assigned[len(shared) :]
    assert assigned == [*shared, *own], "those of plopkit.parameters, in their order, then the lesson's own"
    assert all(f'also=["{name}"]' in path.read_text(encoding="utf-8").replace("\\", "") for name in own)
    assert 'preset = "laptop"' in cell.source


@each
def test_cells_are_short(path):
    lengths = {cell.id: len(cell.source.strip().splitlines()) for cell in cells(read(path), "code")}
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


@each
def test_defines_nothing(path):
    """Whatever deserves a name belongs in the library."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    defined = [node for cell in cells(read(path), "code") for node in ast.walk(python(cell)) if isinstance(node, kinds)]
    assert [node.name for node in defined] == []


@each
def test_ends_with_two_exercises_whose_solutions_are_closed(path):
    notebook = read(path)
    names = [f"{path.name[:2]}.{number}" for number in (1, 2)]
    checks = [(cell, checked(cell)) for cell in cells(notebook, "code") if checked(cell)]
    assert [names_of for _, names_of in checks] == [[name] for name in names for _ in ("question", "solution")]
    assert set(names) <= set(all_exercises())
    for question, solution in zip(checks[::2], checks[1::2], strict=True):
        assert "answer = None" in question[0].source
        assert solution[0].metadata.get("jupyter", {}).get("source_hidden") is True
        assert {"solution", "hide-input"} <= set(solution[0].metadata.tags)
    assert [cell.id for cell in cells(notebook, "code", "solution")] == [cell.id for cell, _ in checks[1::2]]


@each
def test_links_lead_somewhere_and_on_to_the_next(path):
    texts = "\n".join(cell.source for cell in cells(read(path), "markdown"))
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)", texts)]
    files = [link for link in links if link and "://" not in link and not link.startswith("attachment:")]
    assert [link for link in files if not (path.parent / link).is_file()] == []
    following = NOTEBOOKS[NOTEBOOKS.index(path) + 1 :][:1]
    assert {other.name for other in following} <= set(files)
    titled = re.findall(r"\[(\d\d · [^\]]+)\]\(([^)\s#]+)", texts)  # a title in full, or its beginning
    titles = {other.name: cells(read(other), "markdown")[0].source.removeprefix("# ") for other in NOTEBOOKS}
    assert [text for text, link in titled if not titles[link].startswith(text)] == []


def test_every_exercise_is_in_a_notebook():
    assert set(all_exercises()) == {
        name for path in NOTEBOOKS for cell in cells(read(path), "code") for name in checked(cell)
    }
