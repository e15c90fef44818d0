"""What goes with the lessons: the teacher's guide, the glossary, the measurements and the hand-out say what is so."""

import html
import re
import sys
from itertools import pairwise
from pathlib import Path

import nbformat
import pandas as pd

from plopkit.lessons import successors
from plopkit.lessons.exercises import check
from plopkit.support import resources

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
sys.path.append(str(ROOT / "docs"))
import handout  # noqa: E402  (a script of docs/)

HEADING = re.compile(r"(?m)^## (.*?)(?: · (\d+) min)?$")
WORDS = (  # of the library; papers have others for some of them
    "label channel target scenario task protocol step domain teacher threshold confident adaptive-factor memory state "
    "prototype"
).split()


def read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")


def table_below(text: str, heading: str) -> list[list[str]]:
    """The cells of the rows of the first table below a heading."""
    rows = re.findall(r"(?m)^\|(.*)\|$", text[text.index(f"## {heading}") :].partition("\n## ")[0])
    return [[cell.strip() for cell in row.split(" | ")] for row in rows[2:]]


def sections() -> dict[str, int | None]:
    """The minutes of each section of each lesson, such as "00 · See it"; None where they are not said."""
    found = {}
    for path in sorted(FOLDER.glob("[0-9][0-9]_*.ipynb")):
        for cell in nbformat.read(path, as_version=4).cells:
            for name, minutes in HEADING.findall(cell.source if cell.cell_type == "markdown" else ""):
                found[f"{path.name[:2]} · {name}"] = int(minutes) if minutes else None
    return found


def test_the_plan_of_fifty_minutes_shows_sections_that_exist_and_fits() -> None:
    plan = table_below(read("TEACHERS.md"), "Fifty minutes")
    minutes, shown = [int(row[0]) for row in plan], [row[1] for row in plan]
    known = sections()
    assert [name for name in shown if name != "questions" and name not in known] == []
    assert minutes[0] == 0 and minutes == sorted(minutes) and minutes[-1] < 50
    # A demonstration has no time for what students do, but may take longer than reading a short section.
    for name, (begin, end) in zip(shown, pairwise(minutes), strict=False):
        needed = known[name]
        assert needed is None or needed / 2 <= end - begin <= needed + 2, (name, needed, end - begin)


def test_expected_numbers_are_those_of_the_seeds() -> None:
    runs = pd.read_csv(resources.path("measured/emoji_15-5_lessons.csv"))
    assert sorted(runs["seed"].unique()) == [0, 1, 2]
    names = {"fine-tuning": "ft", "MiB": "mib", "PLOP": "plop"}
    table = table_below(read("TEACHERS.md"), "What to expect")
    assert [row[0] for row in table] == list(names)
    for title, *ranges in table:
        own = runs[runs["method"] == names[title]]
        before, after = own[own["step"] == 0], own[own["step"] == 1]
        for printed, values in zip(ranges, (before["old_nobg"], after["old_nobg"], after["new"]), strict=True):
            assert printed == f"{values.min():.1f}–{values.max():.1f}", title


def test_answers_are_right() -> None:
    answers = dict(re.findall(r"(\d\d\.\d) is ([^;.]+(?:\.\d+)?)", read("TEACHERS.md").partition("## Answers")[2]))
    table = successors.since_plop()
    both = successors.both_scores(table, successors.last_steps(successors.measured("emoji_15-1_all_methods")))
    assert check("11.1", float(answers["11.1"]), table=table, method="ewf").right
    assert check("11.2", float(answers["11.2"]), both=both).right
    assert answers["12.1"] == "{0, 1, 2, 3, 255}"


def test_the_glossary_has_the_words() -> None:
    explained = set(re.findall(r"\*\*([^*]+)\*\*", read("glossary.md")))
    assert {word.replace("-", " ") for word in WORDS} <= explained


def test_measurements_are_those_of_the_benchmarks() -> None:
    rows = re.findall(r"(?m)^\|.*\d.*\|$", read("measurements.md"))
    benchmarks = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 7 and [row for row in rows if row not in benchmarks] == []


def test_the_hand_out_is_one_page_of_this_version() -> None:
    page = handout.handout()
    svg, pdf = (path.read_bytes() for path in handout.FILES)
    comments = [html.unescape(comment) for comment in re.findall(r"<!-- (.*?) -->", svg.decode())]
    # A comment in XML may not have two dashes.
    assert comments == [words.replace("--", "- -") for words in handout.words_of(page)], "python docs/handout.py"
    assert re.findall(rb"/Keywords \((\w+)\)", pdf) == [handout.digest(page).encode()], "python docs/handout.py"
    assert len(re.findall(rb"/Type /Page\b", pdf)) == 1
    assert b"/MediaBox [ 0 0 595" in pdf  # A4, in points


def test_the_words_of_the_hand_out_are_within_the_page() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    page = handout.handout()
    canvas = FigureCanvasAgg(page)
    canvas.draw()
    width, height = page.get_size_inches() * page.dpi
    boxes = [text.get_window_extent(canvas.get_renderer()) for text in page.texts]
    assert all(0.05 * width < box.x0 and box.x1 < 0.96 * width and 0 < box.y0 and box.y1 < height for box in boxes)


def test_the_same_words_give_the_same_file(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with handout.own_style(**handout.STYLE):
            handout.write(handout.handout(), tmp_path / f"{name}.svg")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
