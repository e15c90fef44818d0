"""A lesson inside another notebook, and the notebook for Colab."""

from collections.abc import Iterator
from pathlib import Path

import nbformat
import papermill
import pytest
from hatchling.builders.wheel import WheelBuilder
from IPython.core.interactiveshell import InteractiveShell
from nbformat import v4

from plopkit.lessons import inline
from plopkit.lessons.inline import run_lesson

ROOT = Path(__file__).resolve().parents[2]
COLAB = ROOT / "docs" / "colab.ipynb"


@pytest.fixture
def lesson(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small lesson in place of all others."""
    parameters = v4.new_code_cell("a, n = 0, 0\nn = 1\nout = None", metadata={"tags": ["parameters"]})
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("# A text"), parameters, v4.new_code_cell("result = n + 1")])
    path = tmp_path / "lesson.ipynb"
    nbformat.write(notebook, path)
    monkeypatch.setattr(inline.resources, "notebook", lambda name: path)
    return path


@pytest.fixture
def shell(monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    shell = InteractiveShell.instance()
    monkeypatch.setattr("IPython.get_ipython", lambda: shell)
    yield shell
    InteractiveShell.clear_instance()


def test_parameters_replace_those_of_the_lesson(
    lesson: Path, shell: InteractiveShell, capsys: pytest.CaptureFixture[str]
) -> None:
    run_lesson("lesson")
    assert shell.user_ns["result"] == 2
    run_lesson("lesson", n=4)
    assert shell.user_ns["result"] == 5
    assert "Markdown" in capsys.readouterr().out


def test_an_unknown_parameter_is_refused_before_anything_runs(lesson: Path, shell: InteractiveShell) -> None:
    shell.user_ns["result"] = "before"
    with pytest.raises(ValueError, match="lesson lesson has no parameter 'm'; it has n, out"):
        run_lesson("lesson", m=1)
    assert shell.user_ns["result"] == "before"


def test_an_error_ends_the_lesson(lesson: Path, shell: InteractiveShell) -> None:
    with pytest.raises(TypeError):
        run_lesson("lesson", n="one")


def test_outside_of_a_notebook_it_is_refused(lesson: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("IPython.get_ipython", lambda: None)
    with pytest.raises(ValueError, match="papermill runs lessons elsewhere"):
        run_lesson("lesson")


@pytest.mark.filterwarnings("default")  # of the kernel's start-up
def test_colab_installs_a_wheel_and_runs_lesson_00(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own commands, with a local wheel, which pip installs into a folder of the test, without what it needs."""
    wheel = Path(next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path), versions=["standard"])))
    installed = tmp_path / "installed"
    installed.mkdir()
    for name, value in {"PIP_TARGET": installed, "PIP_NO_DEPS": 1, "PIP_NO_INDEX": 1, "PYTHONPATH": installed}.items():
        monkeypatch.setenv(name, str(value))
    notebook = nbformat.read(COLAB, as_version=4)
    notebook.cells.append(v4.new_code_cell("import plopkit\nprint(plopkit.__file__)\nsorted(runs)"))
    (form,) = [cell for cell in notebook.cells if cell.id == "parameters"]
    for line, filled in (('source = ""', f"source = {str(wheel)!r}"), ('preset = "laptop"', 'preset = "smoke"')):
        assert line in form.source
        form.source = form.source.replace(line, filled)
    nbformat.write(notebook, tmp_path / "colab.ipynb")
    result = papermill.execute_notebook(
        tmp_path / "colab.ipynb", tmp_path / "out.ipynb", cwd=tmp_path, progress_bar=False
    )
    printed, last = result.cells[-1].outputs
    assert printed.text == f"{installed / 'plopkit' / '__init__.py'}\n"
    assert last.data["text/plain"] == "['ft', 'plop']"
    assert len(list((tmp_path / "runs").glob("*/results.csv"))) == 2
    pictures = [
        output for output in result.cells[-2].outputs if "<img alt=" in output.get("data", {}).get("text/html", "")
    ]
    assert len(pictures) >= 2


def test_colab_says_what_is_missing() -> None:
    cells = {cell.id: cell for cell in nbformat.read(COLAB, as_version=4).cells}
    first = cells["install"].source.partition("%pip")[0]
    with pytest.raises(ValueError, match="source is empty: write the address"):
        exec(first, {"source": ""})
    names = {"source": "https://example.org/a/b"}
    exec(first, names)
    assert names["source"] == "git+https://example.org/a/b"


def test_colab_is_committed_without_outputs() -> None:
    cells = nbformat.read(COLAB, as_version=4).cells
    assert [cell for cell in cells if cell.get("outputs") or cell.get("execution_count")] == []
