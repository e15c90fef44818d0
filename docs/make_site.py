"""`make site`: run every lesson, lay its pages out with Sphinx, and follow every link inside the site.

python docs/make_site.py [--preset laptop] [--build build]
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat
import papermill
from links import faults
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# Beside the lessons, at the places where the links between them expect them.
PAGES = ("README.md", "CONTRIBUTING.md", "CITATION.cff", "docs/fidelity.md", "docs/*.png", "benchmarks/README.md")
PAGES += ("data/measured/*.csv", "notebooks/README.md")
WIDGET = "application/vnd.jupyter.widget-view+json"


def notebooks() -> list[Path]:
    """The lessons, in order."""
    found = (ROOT / "notebooks").glob("*.ipynb")
    return sorted(path for path in found if not path.name.endswith(".out.ipynb"))


def execute(lessons: Sequence[Path], folder: Path, preset: str) -> list[Path]:
    """Run each lesson in ``folder``, where they share what is trained (``runs``); the executed copies."""
    folder.mkdir(parents=True, exist_ok=True)
    executed = []
    given = {} if preset == "laptop" else {"preset": preset}  # a page shows what is given
    for lesson in lessons:
        executed.append(folder / lesson.name)
        print(f"{lesson.name}, preset {preset}", flush=True)
        papermill.execute_notebook(lesson, executed[-1], given, cwd=folder, progress_bar=False)
    return executed


def tidied(notebook: NotebookNode) -> NotebookNode:
    """The notebook as a page: pictures in the widgets' place, no progress bars, no widgets' state."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            for output in cell.outputs:
                if WIDGET in output.get("data", {}):
                    del output.data[WIDGET]
                    output.data = {kind: data for kind, data in output.data.items() if kind != "text/plain"}
            cell.outputs = [output for output in cell.outputs if output.get("data", True)]
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("papermill", None)
    return notebook


def stage(executed: Sequence[Path], source: Path) -> None:
    """All that Sphinx reads, in a fresh folder laid out as the checkout is."""
    shutil.rmtree(source, ignore_errors=True)
    for pattern in PAGES:
        for path in ROOT.glob(pattern):
            place = source / path.relative_to(ROOT)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
    shutil.copy(DOCS / "index.md", source)
    for path in executed:
        nbformat.write(tidied(nbformat.read(path, as_version=4)), source / "notebooks" / path.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """0 where the site stands, its links lead somewhere and Sphinx has nothing to warn of."""
    parser = argparse.ArgumentParser(description="Run the lessons and build the site.")
    parser.add_argument("--preset", default="laptop")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where everything goes")
    given = parser.parse_args(arguments)
    from sphinx.cmd.build import build_main  # comes with the extra `site`

    source, site = given.build / "site-source", given.build / "site"
    stage(execute(notebooks(), given.build / "lessons", given.preset), source)
    shutil.rmtree(site, ignore_errors=True)
    flags = ["--fail-on-warning", "--keep-going", "--quiet", "-d", str(given.build / "doctrees"), "-E"]
    if build_main(["-c", str(DOCS), *flags, str(source), str(site)]):
        return 1
    if wrong := faults(site):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    print(f"\nthe site: {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
