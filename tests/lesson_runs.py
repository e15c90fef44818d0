"""Fixtures of the tests that run the lessons: a folder of runs, a headless run, and JupyterLab in a browser.

A headless run is one by papermill. In JupyterLab, mouse and keyboard run the lesson.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import nbformat
import papermill
import pytest
from lab import Lab, Open, chromium, jupyterlab
from nbformat import NotebookNode
from playwright.sync_api import Browser, Page
from required import missing
from test_notebooks import NOTEBOOKS, cells, checked, read, solved

from plopkit.lessons import progress_file
from plopkit.lessons.exercises import all_exercises

# The kernel's start-up and playwright emit warnings that plopkit cannot prevent.
FOREIGN_WARNINGS = pytest.mark.filterwarnings("default")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs that all lessons share: what one lesson has trained, the next reads back."""
    return tmp_path_factory.mktemp("lessons")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def lab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if find_spec("jupyterlab") is None:
        missing("browser", "JupyterLab is not installed: pip install -e '.[dev]'")
    with jupyterlab(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    new = browser.new_page()
    yield new
    new.close()


@pytest.fixture
def opened(lab: Lab, page: Page, runs: Path) -> Iterator[Callable[..., Open]]:
    """``opened("06")``: the notebook of that number, with preset smoke and other parameters, alone in the page."""
    shown: list[Open] = []

    def make(number: str, **parameters: object) -> Open:
        (path,) = (path for path in NOTEBOOKS if path.name.startswith(number))
        notebook = nbformat.read(path, as_version=4)
        (cell,) = cells(notebook, "code", "parameters")
        for name, value in ({"preset": "smoke", "out": str(runs)} | parameters).items():
            cell.source, count = re.subn(rf"(?m)^{name} = .*$", f"{name} = {value!r}".replace("\\", r"\\"), cell.source)
            assert count == 1
        nbformat.write(notebook, lab.folder / path.name)
        shown.append(Open(lab, page, path.name))
        return shown[-1]

    yield make
    for notebook in shown:
        notebook.close()
    lab.end_kernels()


def headless(first: str, last: str) -> Callable[..., None]:
    """A test that runs the lessons with these numbers by papermill."""
    lessons = [path for path in NOTEBOOKS if first <= path.name[:2] <= last]

    @pytest.mark.parametrize("path", lessons, ids=lambda path: path.stem)
    def test(path: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("MPLBACKEND")  # set by conftest.py; a kernel has its own
        run_headless(path, runs, tmp_path)

    return test


def in_the_browser(*numbers: str) -> Callable[..., None]:
    """A test that runs all cells of these lessons in JupyterLab and takes pictures."""

    @pytest.mark.parametrize("number", numbers)
    def test(opened: Callable[..., Open], number: str) -> None:
        notebook = opened(number)
        notebook.run_all()
        notebook.shots(number)

    return test


def pictures_of(outputs: Iterable[NotebookNode]) -> list[str]:
    """The <img> elements of the outputs."""
    shown = [str(output.get("data", {}).get("text/html", "")) for output in outputs]
    return [tag for text in shown for tag in re.findall(r"<img\b[^>]*>", text)]


def without_alt(outputs: Sequence[NotebookNode]) -> list[str]:
    """The pictures that do not say what they show, in a sentence; a bare PNG cannot say it."""
    kinds = [kind for output in outputs for kind in output.get("data", {}) if kind.startswith("image/")]
    silent = [tag[:100] for tag in pictures_of(outputs) if not re.search(r'\balt="[^"]{20,}\."', tag)]
    return [*kinds, *silent]


def run_headless(path: Path, runs: Path, folder: Path) -> None:
    """Run all cells with preset smoke; check for no errors, a picture, few log lines, and correct solutions."""
    executed = folder / path.name
    nbformat.write(with_solutions(read(path)), executed)
    parameters = {"preset": "smoke", "out": str(runs)}
    papermill.execute_notebook(executed, executed, parameters, cwd=folder, progress_bar=False)
    notebook = read(executed)

    outputs = [output for cell in cells(notebook, "code") for output in cell.outputs]
    assert [output for output in outputs if output.output_type == "error"] == []
    stderr = "".join(output.text for output in outputs if output.get("name") == "stderr")
    lines = [line for line in stderr.split("\n") if line.rpartition("\r")[2].strip()]  # a progress bar is overwritten
    lines = [line for line in lines if not re.match(r"\d+ threads?, ", line)]  # how a run is done, once a run
    assert len(lines) <= 3, stderr[-2000:]
    assert pictures_of(outputs) and without_alt(outputs) == []
    for cell in cells(notebook, "code", "tried"):
        (name,) = checked(cell)
        assert f"Exercise {name}: right." in str(cell.outputs)
    assert not (folder / progress_file.NAME).exists()  # nobody has answered


def with_solutions(notebook: NotebookNode) -> NotebookNode:
    """The notebook with a cell after each folded solution that does what it says."""
    exercises, found = all_exercises(), list[NotebookNode]()
    for cell in notebook.cells:
        found.append(cell)
        for name in solved(cell) if cell.cell_type == "code" else ():
            if name in exercises:  # functions to write are tested in tests/lessons/test_attempts.py
                found.append(nbformat.v4.new_code_cell(exercises[name].solution, metadata={"tags": ["tried"]}))
    notebook.cells = found
    return notebook
