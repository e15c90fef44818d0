"""`make site`: run every lesson, build the pages with Sphinx, and check every link inside the site.

python docs/make_site.py [--preset laptop] [--build build]
python docs/make_site.py --only api      # the API reference alone, within a minute
python docs/make_site.py --only pages    # everything, but the lessons as they are, without outputs
"""

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import api
import nbformat
import papermill
from links import faults
from nbformat import NotebookNode
from one_click import repository, with_links

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# Next to the lessons, where the links between them expect them.
PAGES = (
    "*.md",
    "CITATION.cff",
    "docs/comparison.md",
    "docs/fidelity.md",
    "docs/interrupted.md",
    "docs/promises.md",
    "docs/moved.md",
    "docs/scale.md",
    "docs/teaching.md",
    "docs/guides/*.md",
    "docs/*.png",
)
PAGES += (
    "benchmarks/README.md",
    "data/measured/*.csv",
    "data/twemoji/LICENSE",
    "notebooks/*.md",
    "notebooks/handout.*",
)
WIDGET = "application/vnd.jupyter.widget-view+json"


def notebooks() -> list[Path]:
    """The lessons, in order."""
    paths = (ROOT / "notebooks").glob("*.ipynb")
    return sorted(path for path in paths if not path.name.endswith(".out.ipynb"))


def execute(lessons: Sequence[Path], folder: Path, preset: str) -> list[Path]:
    """Run each lesson in `folder`, where they share the trained networks in `runs`, and return the executed copies."""
    folder.mkdir(parents=True, exist_ok=True)
    executed = []
    parameters = {} if preset == "laptop" else {"preset": preset}  # a page shows the parameters that are passed
    for lesson in lessons:
        executed.append(folder / lesson.name)
        print(f"{lesson.name}, preset {preset}", flush=True)
        papermill.execute_notebook(lesson, executed[-1], parameters, cwd=folder, progress_bar=False)
    return executed


def tidied(notebook: NotebookNode) -> NotebookNode:
    """The notebook as a page, without widgets and their state; what stands in for one is an output of its own."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
    notebook.metadata.pop("widgets", None)
    notebook.metadata.pop("papermill", None)
    return notebook


def stage(executed: Sequence[Path], source: Path) -> None:
    """Write all that Sphinx reads into a fresh folder, laid out like the checkout."""
    shutil.rmtree(source, ignore_errors=True)
    for pattern in PAGES:
        for path in ROOT.glob(pattern):
            copy = source / path.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, copy)
    index, address = (DOCS / "index.md").read_text(encoding="utf-8"), repository()
    (source / "index.md").write_text(with_links(index, address) if address else index, encoding="utf-8")
    guide = source / "notebooks" / "TEACHERS.md"  # has the answers, which a student's search should not find
    guide.write_text(f"---\nnosearch: true\n---\n{guide.read_text(encoding='utf-8')}", encoding="utf-8")
    api.write(source / "api")
    for path in executed:
        nbformat.write(tidied(nbformat.read(path, as_version=4)), source / "notebooks" / path.name)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the site; 0 where Sphinx has no warning and every link inside the site leads somewhere."""
    parser = argparse.ArgumentParser(description="Run the lessons and build the site.")
    parser.add_argument("--preset", default="laptop", help="preset of the lessons' runs")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="folder for the site and all else")
    parser.add_argument(
        "--only", choices=["api", "pages"], help="the API reference alone, or all pages without running the lessons"
    )
    args = parser.parse_args(arguments)
    from sphinx.cmd.build import build_main  # comes with the extra `site`

    name = f"site-{args.only}" if args.only else "site"
    source, site = args.build / f"{name}-source", args.build / name
    flags = ["--fail-on-warning", "--keep-going", "--quiet", "-d", str(args.build / f"{name}-doctrees"), "-E"]
    if args.only == "api":
        shutil.rmtree(source, ignore_errors=True)
        api.write(source)
    else:
        lessons = notebooks() if args.only else execute(notebooks(), args.build / "lessons", args.preset)
        stage(lessons, source)
    shutil.rmtree(site, ignore_errors=True)
    if build_main(["-c", str(DOCS), *flags, str(source), str(site)]):
        return 1
    if wrong := faults(site):
        print("\n".join(wrong), file=sys.stderr)
        return 1
    print(f"\nthe site: {site / 'index.html'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
