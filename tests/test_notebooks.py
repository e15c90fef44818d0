"""The form of the lessons; test_notebooks_00_05.py, …_06_09.py and …_10_12.py run them."""

import ast
import re
import symtable
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from plopkit.lessons import solution
from plopkit.lessons.exercises import all_exercises, exercise_names
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


def solved(cell: NotebookNode) -> list[str]:
    """The exercises whose folded solution the cell shows."""
    return re.findall(r'\bsolution\("([^"]+)"\)', cell.source)


def attempted(cell: NotebookNode) -> list[str]:
    """The exercises whose function the student writes in this cell."""
    return re.findall(r'@attempt\("([^"]+)"\)', cell.source)


@each
def test_defines_only_what_the_student_writes(path):
    """Whatever else deserves a name belongs in the library. A function to write has a docstring and three dots."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    for cell in cells(read(path), "code"):
        defined = [node for node in ast.walk(python(cell)) if isinstance(node, kinds)]
        functions = [node for node in defined if not isinstance(node, ast.ClassDef)]
        assert len(functions) == len(attempted(cell)) and bool(functions) == bool(defined), cell.source
        for function, name in zip(functions, attempted(cell), strict=True):
            assert ast.get_docstring(function) and ast.unparse(function.body[1]) == "..." and len(function.body) == 2
            written = [node for node in ast.walk(ast.parse(solution(name).code)) if isinstance(node, ast.FunctionDef)]
            assert (function.name, ast.dump(function.args)) in [(node.name, ast.dump(node.args)) for node in written]


@each
def test_has_two_exercises_and_folded_solutions(path):
    """Every exercise is followed by its solution, which is shown folded and not run."""
    code = cells(read(path), "code")
    asked = [(checked(cell) + attempted(cell), solved(after)) for cell, after in pairwise(code)]
    names = [(before, after) for before, after in asked if before]
    assert all(len(before) == 1 and before == after for before, after in names), names
    own = [name for name in exercise_names() if name.startswith(path.name[:2])]
    assert sorted(name for (name,), _ in names) == own and len(own) >= 2
    assert all(("solution" in cell.metadata.get("tags", ())) == bool(solved(cell)) for cell in code)
    assert all("answer = None" in cell.source for cell in code if checked(cell))


@each
def test_sections_say_their_minutes_and_students_predict_and_discuss(path):
    notebook = read(path)
    texts = [cell.source for cell in cells(notebook, "markdown")]
    headings = [line for text in texts for line in re.findall(r"(?m)^## .*$", text)]
    assert [line for line in headings if not re.search(r" · \d+ min$", line)] == ["## Try next"]
    assert sum(len(re.findall(r"\bReveal\(", cell.source)) for cell in cells(notebook, "code")) >= 2
    assert any("**Discuss.** " in text for text in texts)
    assert [cell.source for cell in notebook.cells].count("progress()") == 1


def global_names(table: symtable.SymbolTable, inside: bool = False) -> set[str]:
    """The names of the notebook that the lambdas of a cell look up when they are called."""
    inside = inside or table.get_name() == "lambda"
    own = set(table.get_globals()) if inside and isinstance(table, symtable.Function) else set()
    return own.union(*(global_names(child, inside) for child in table.get_children()))


@each
def test_answers_that_are_shown_later_use_nothing_that_a_later_cell_changes(path):
    """Students run all cells first, and click on a `Reveal` afterwards."""
    tables = [symtable.symtable(ast.unparse(python(cell)), path.name, "exec") for cell in cells(read(path), "code")]
    assigned = [{symbol.get_name() for symbol in table.get_symbols() if symbol.is_assigned()} for table in tables]
    used = [global_names(table) for table in tables]
    assert [used[k] & set().union(*assigned[k + 1 :]) for k in range(len(tables))] == [set()] * len(tables)


@each
def test_sentences_below_a_question_wait_for_the_guess(path):
    """Who runs all cells first would read the answer there: `question.then(lambda: say(…))` waits."""
    asked = False
    for cell in read(path).cells:
        if cell.cell_type == "markdown":
            asked = asked and not re.search(r"(?m)^## ", cell.source)
        elif "Reveal(" in cell.source:
            asked = True
        elif asked and "say(" in cell.source:
            last = python(cell).body[-1]
            assert ast.unparse(last).startswith("question.then(lambda: say("), cell.source


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
    assert set(all_exercises()) == {name for cell in code for name in checked(cell)}
    assert set(exercise_names()) == {name for cell in code for name in checked(cell) + attempted(cell)}
