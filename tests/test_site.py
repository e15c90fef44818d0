"""The site: every lesson has a page, pictures replace the widgets, and the links lead somewhere."""

import re
import runpy
import sys
from fnmatch import fnmatch
from pathlib import Path

import nbformat
import pytest
from nbformat import v4

import plopkit
from plopkit.widgets import outputs

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import make_site  # noqa: E402
from links import faults  # noqa: E402


def page(tmp_path: Path, body: str, name: str = "index.html") -> None:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<html><body>{body}</body></html>", encoding="utf-8")


def cell(*outputs: dict) -> dict:
    return v4.new_code_cell("x", outputs=[v4.new_output("display_data", data) for data in outputs])


def text_of(path: Path) -> str:
    """The Markdown of a page."""
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    return "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "markdown")


# --- what is on it


def test_every_lesson_and_every_page_is_in_the_table_of_contents() -> None:
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    tables = re.findall(r"```\{toctree\}\n(.*?)```", text, flags=re.DOTALL)
    entries = [line for table in tables for line in table.splitlines() if line and not line.startswith(":")]
    names = [match[1] if (match := re.search(r"<(.+)>", entry)) else entry for entry in entries]
    lessons = [f"notebooks/{path.stem}" for path in make_site.notebooks()]
    assert lessons
    pages = [path.relative_to(ROOT) for pattern in make_site.PAGES for path in ROOT.glob(pattern)]
    texts = {str(path.with_suffix("")) for path in pages if path.suffix == ".md"}
    guides = {f"docs/guides/{path.stem}" for path in (ROOT / "docs" / "guides").glob("*.md")}
    assert {"docs/guides/gpu", "docs/guides/plugins"} <= guides <= texts
    by_pattern = {page for page in {*texts, *lessons} if any(fnmatch(page, name) for name in names if "*" in name)}
    assert by_pattern == {*lessons, *guides}
    assert texts - guides | {"api/index"} == {name for name in names if "*" not in name}


def trees() -> dict[str, str]:
    """The tables of contents by their captions, in order."""
    text = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    return dict(re.findall(r"```\{toctree\}\n:caption: (.*?)\n(.*?)```", text, flags=re.DOTALL))


def test_students_do_not_stumble_over_the_answers(tmp_path: Path) -> None:
    named = [caption for caption, entries in trees().items() if "TEACHERS" in entries]
    assert named == ["For teachers"] == list(trees())[-1:]  # the last page: no other leads on to it
    guide = (ROOT / "notebooks" / "TEACHERS.md").read_text(encoding="utf-8")
    answers = guide.partition("## Answers\n")[2].partition("\n## ")[0]
    unfolded = re.sub(r"<details>\n<summary>.*?</details>", "", answers, flags=re.DOTALL)
    assert answers.count("<details>") == 2 and not re.search(r"\d|\|", unfolded)
    make_site.stage(make_site.notebooks(), tmp_path)
    staged = (tmp_path / "notebooks" / "TEACHERS.md").read_text(encoding="utf-8")
    assert staged.startswith("---\nnosearch: true\n---\n# ")
    students = [path for path in (tmp_path / "notebooks").iterdir() if path.suffix in (".md", ".ipynb")]
    assert [path.name for path in students if "TEACHERS.md" in text_of(path)] == []


def test_the_version_is_shown_and_pages_can_be_searched() -> None:
    configuration = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    version = plopkit.__version__
    assert (configuration["release"], configuration["html_title"]) == (version, f"plopkit {version}")
    assert configuration["html_theme_options"]["navbar_persistent"] == []  # the search field is in the side bar


def test_the_staged_pages_link_only_to_staged_files(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "left over").mkdir(parents=True)
    make_site.stage(make_site.notebooks(), source)
    assert not (source / "left over").exists()
    pages = [*source.rglob("*.md"), *source.rglob("*.ipynb")]
    assert {path.name for path in make_site.notebooks()} == {path.name for path in source.rglob("*.ipynb")}
    for path in pages:
        for link in re.findall(r"\]\(([^)#\s]+)", text_of(path)):
            assert "://" in link or (path.parent / link).is_file(), f"{path.relative_to(source)}: {link}"


def test_what_stands_in_for_a_widget_replaces_it_and_progress_bars_are_removed() -> None:
    bar = {make_site.WIDGET: {"model_id": "1"}, "text/plain": "HBox()"}
    slides = {"text/html": outputs.slides({"PLOP": "<img>"}), "text/plain": ""}
    table, value = {"text/html": "<table>", "text/plain": "table"}, {"text/plain": "3"}
    notebook = v4.new_notebook(cells=[v4.new_markdown_cell("t"), cell(bar, slides, table, value), cell(bar)])
    notebook.cells[1].outputs.append(v4.new_output("stream", name="stdout", text="printed"))
    notebook.metadata.update(widgets={"state": {}}, papermill={}, kernelspec={"name": "python3"})
    tidied = make_site.tidied(notebook)
    shown = [output.get("data", output.get("text")) for output in tidied.cells[1].outputs]
    assert shown == [slides, table, value, "printed"]
    assert tidied.cells[2].outputs == []
    assert list(tidied.metadata) == ["kernelspec"]


# --- its links


def test_working_links_are_no_faults(tmp_path: Path) -> None:
    links = ["#here", "a/b%20c.html", "a/b%20c.html#there", "data.csv", "https://elsewhere.org/x", "mailto:a@b.c"]
    page(tmp_path, '<p id="here">' + "".join(f'<a href="{link}">x</a>' for link in links))
    page(tmp_path, '<p id="there"><a href="../index.html#here">x</a><img src="data:image/png;base64,xx">', "a/b c.html")
    (tmp_path / "data.csv").touch()
    page(tmp_path, '<a href="{{ template }}">', "_static/theme.html")
    assert faults(tmp_path) == []


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">x</a>', "gone.html leads nowhere"),
        ('<img src="gone.png">', "gone.png leads nowhere"),
        ('<a href="#gone">x</a>', "#gone leads to no place on that page"),
        ('<a href="other.html#gone">x</a>', "other.html#gone leads to no place on that page"),
        ('<script src="https://cdn.org/x.js"></script>', "https://cdn.org/x.js is fetched from the net"),
        ('<link rel="stylesheet" href="//cdn.org/x.css">', "//cdn.org/x.css is fetched from the net"),
    ],
)
def test_each_fault_is_reported(tmp_path: Path, body: str, fault: str) -> None:
    page(tmp_path, body)
    page(tmp_path, '<p id="there">', "other.html")
    assert faults(tmp_path) == [f"index.html: {fault}"]


def test_a_site_without_pages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no page in this folder"):
        faults(tmp_path)
