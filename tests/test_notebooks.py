"""The form of the lessons; test_notebooks_00_05.py and test_notebooks_06_09.py run them."""

import ast
import re
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from plopkit.lessons import solution
from plopkit.lessons.exercises import exercise_names
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


def attempted(cell: NotebookNode) -> list[str]:
    """The functions that the cell asks for."""
    return re.findall(r'@attempt\("([^"]+)"\)', cell.source)


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
def test_defines_only_what_students_write(path):
    """Whatever else deserves a name belongs in the library. What is to be written has a docstring and no body yet."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    trees = [(cell, node) for cell in cells(read(path), "code") for node in ast.walk(python(cell))]
    for cell, node in ((cell, node) for cell, node in trees if isinstance(node, kinds)):
        (name,) = attempted(cell)
        assert ast.unparse(node.decorator_list[0]) == f"attempt({name!r})"
        assert ast.get_docstring(node) and ast.unparse(node.body[1:]) == "..."
        solved = ast.parse(solution(name).code).body[-1]
        assert (solved.name, ast.unparse(solved.args)) == (node.name, ast.unparse(node.args))


@each
def test_exercises_end_with_folded_solutions_and_a_progress_line(path):
    """Each question, and each function to write, is followed by its solution, which "Run All" does not run."""
    notebook = read(path)
    code = cells(notebook, "code")
    asked = [(place, name) for place, cell in enumerate(code) for name in (*checked(cell), *attempted(cell))]
    assert [name for _, name in asked if name[3:].isdigit()] == [f"{path.name[:2]}.{number}" for number in (1, 2)]
    for place, name in asked:
        assert code[place + 1].source == f'solution("{name}")' and "solution" in code[place + 1].metadata.tags
        assert "answer = None" in code[place].source or attempted(code[place])
    assert len(cells(notebook, "code", "solution")) == len(asked)
    assert code[asked[-1][0] + 2].source == "progress()"


@each
def test_asks_before_it_shows_and_says_how_long_it_takes(path):
    notebook = read(path)
    assert sum(cell.source.count("Reveal(") for cell in cells(notebook, "code")) >= 2
    assert any("**Discuss.**" in cell.source for cell in cells(notebook, "markdown"))
    headings = re.findall(r"(?m)^## (.*)$", "\n".join(cell.source for cell in cells(notebook, "markdown")))
    assert [heading for heading in headings if not re.search(r" · \d+ min$", heading)] == ["Try next"]


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
    code = [cell for path in NOTEBOOKS for cell in cells(read(path), "code")]
    assert set(exercise_names()) == {name for cell in code for name in (*checked(cell), *attempted(cell))}
