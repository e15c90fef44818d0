"""What goes with the lessons: the teacher's guide, the glossary, the measurements and the hand-out say what is so."""

import html
import re
import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import nbformat
import pandas as pd
import torch

import plopkit
from plopkit.lessons import own_data, published, solution, splits, successors
from plopkit.lessons.exercises import check
from plopkit.model.segmenter import segmenter_of
from plopkit.presets import method_of
from plopkit.scenario import Scenario
from plopkit.settings import Settings
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
    return first_table(text[text.index(f"## {heading}") :].partition("\n## ")[0])


def first_table(text: str) -> list[list[str]]:
    rows = text[text.index("\n|") + 1 :].partition("\n\n")[0].splitlines()
    return [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows[2:]]


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


PARAMETERS = {"scenario": "emoji 15-5 overlap", "preset": "laptop", "data_root": None, "out": "runs", "overrides": {}}
LAPTOP = plopkit.from_parameters(PARAMETERS, "plop", lesson=True)


def head_of(settings: Settings) -> torch.Tensor:
    """The head's map of a net with random weights, for an image of the settings' size."""
    net = segmenter_of(settings.model.model_copy(update={"weights": "none"}), (16,)).eval()
    with torch.no_grad():
        head = net(torch.zeros(1, 3, settings.data.size, settings.data.size)).head
    assert head is not None
    return head


def lesson_runs() -> pd.DataFrame:
    """The lessons' runs for three seeds, with one and with two threads."""
    return pd.read_csv(resources.path("measured/emoji_15-5_lessons.csv"))


def test_expected_numbers_are_those_of_the_seeds_with_one_and_two_threads() -> None:
    runs = lesson_runs()
    shared = {(seed, threads, method) for seed in range(3) for threads in (1, 2) for method in ("ft", "mib", "plop")}
    own_method = {(seed, 2, "mine") for seed in range(3)}
    assert shared | own_method == set(runs[["seed", "threads", "method"]].itertuples(index=False, name=None))
    names = {"fine-tuning": "ft", "MiB": "mib", "PLOP": "plop", "lesson 06's own method": "mine"}
    assert 'weight: float = Field(0.3, ge=0, description="weight of the pull")' in solution("06.method").code
    table = table_below(read("TEACHERS.md"), "What to expect")
    assert [row[0] for row in table] == list(names)
    for title, *ranges in table:
        own = runs[runs["method"] == names[title]]
        before, after = own[own["step"] == 0], own[own["step"] == 1]
        for printed, values in zip(ranges, (before["old_nobg"], after["old_nobg"], after["new"]), strict=True):
            assert printed == span(values), title
    scores = runs.set_index(["seed", "method", "step", "threads"])[["old_nobg", "new", "all"]].unstack("threads")
    moved = max((scores[name][1] - scores[name][2]).abs().max() for name in ("old_nobg", "new", "all"))
    assert f"moved by up to {moved:.1f} points" in " ".join(read("TEACHERS.md").split())
    new = runs[runs["step"] == 1].pivot(index=["seed", "threads"], columns="method", values="new")
    assert (new["mib"] > new["plop"]).all()  # "in these short lessons MiB learns more new classes"


def test_lesson_07_loses_no_background_with_other_seeds() -> None:
    """Its number of iterations was chosen with seed 0."""
    guide = " ".join(read("TEACHERS.md").split())
    own = published.measured("emoji_15-1_lessons").set_index(["method", "seed", "threads", "step"]).loc["plop", 1, 2, 5]
    assert f"after the last step {own['old_nobg']:.1f} % of the old classes, {own['new']:.1f} % of the new" in guide
    assert f"a background of {own['background']:.1f} %" in guide and own["background"] > 70
    whole = published.last_steps(published.measured("emoji_15-1_all_methods")).groupby("method")["background"]
    plop, mib, ft = (span(whole.get_group(name)) for name in ("plop", "mib", "ft"))
    assert f"IoU is {plop} with PLOP, {mib} with MiB and {ft} with fine-tuning." in guide


def test_what_to_expect_of_lesson_10_is_what_three_seeds_gave() -> None:
    runs = published.measured("emoji_2-1_domain_lessons")
    assert set(runs["seed"]) == {0, 1, 2}
    scores = runs.set_index(["method", "domain", "step", "seed"])["miou"].sort_index()
    guide = read("TEACHERS.md").partition("Lesson 10,")[2]
    for row, (title, method) in zip(first_table(guide), (("fine-tuning", "ft"), ("PLOP", "plop")), strict=True):
        places = (("night", 0), ("night", 2), ("rain", 2), ("all", 2))
        assert row == [title, *(span(scores[method, domain, step]) for domain, step in places)]
    plop, ft = scores["plop"], scores["ft"]
    assert (plop["night", 2] > ft["night", 2]).all() and (plop["rain", 2] < ft["rain", 2]).all()
    differ = (plop["all", 2] - ft["all", 2]).abs().max()
    assert f"over all domains the two differ by {differ:.1f} points at most" in " ".join(guide.split())


def span(values: pd.Series) -> str:
    return f"{values.min():.1f}–{values.max():.1f}"


def answers() -> dict[str, str]:
    """What the guide says each exercise is."""
    text = " ".join(read("TEACHERS.md").partition("## Answers")[2].partition("To the questions")[0].split())
    return dict(re.findall(r"(\d\d\.\d) is (.+?)(?: \(preset [^)]*\))?(?:;|\. |, and )", text))


def number(text: str) -> float:
    return float(text.replace(",", ""))


def test_answers_that_are_always_the_same_are_right() -> None:
    said, voc = answers(), Scenario.parse("voc 15-1 overlap")
    assert check("01.1", number(said["01.1"]), scenario=voc, train=splits.voc_presence()[0]).right
    last = replace(Scenario.parse("emoji 15-5 overlap"), order=(0, *range(20, 0, -1))).steps[-1]
    assert check("01.2", {int(label) for label in said["01.2"].split(" and ")}, step=last, channels=(1, 3)).right
    assert check("03.1", number(said["03.1"]), head=head_of(LAPTOP), scales=method_of(LAPTOP).scales).right
    seeds = published.last_steps(published.measured("emoji_15-5_three_seeds"))
    assert check("08.2", number(said["08.2"]), seeds=seeds).right
    assert check("09.1", number(said["09.1"])).right
    counts = torch.zeros(2, 100, dtype=torch.long)
    counts[:, :3] = torch.tensor([[900, 700, 400], [9_000, 7_000, 4_000]])
    assert check("09.2", [float(part) for part in said["09.2"].strip("[]").split(", ")], counts=counts).right
    table = successors.since_plop()
    both = successors.both_scores(table, successors.last_steps(successors.measured("emoji_15-1_all_methods")))
    assert check("11.1", number(said["11.1"]), table=table, method="ewf").right
    assert check("11.2", number(said["11.2"]), both=both).right
    labels = {int(label) for label in said["12.1"].strip("{}").split(", ")}
    assert check("12.1", labels, names=own_data.NAMES[:4]).right


def test_answers_that_depend_on_the_run_are_in_the_ranges_of_the_measured_ones() -> None:
    said, values = answers(), dict[str, list[float]]()
    for _, runs in lesson_runs().groupby(["seed", "threads"]):
        last = runs[runs["step"] == 1].set_index("method")
        fallen = runs[(runs["step"] == 0) & (runs["method"] == "ft")]["old_nobg"].item() - last.loc["ft", "old_nobg"]
        ahead, background = last.loc["ft", "new"] - last.loc["plop", "new"], last.loc["ft", "background"]
        results = runs[["method", "step", "background"]].assign(label=0).rename(columns={"background": "iou"})
        assert check("00.1", fallen, summary=runs).right
        assert check("00.2", ahead, summary=runs).right
        assert check("08.1", background, results=results, method="ft").right
        for name, value in {"00.1": fallen, "00.2": ahead, "08.1": background}.items():
            values.setdefault(name, []).append(value)
    assert {name: said[name] for name in values} == {
        name: f"between {min(found):.1f} and {max(found):.1f}" for name, found in values.items()
    }
    assert said["02.1"] == "`before[0] / 11`" and check("02.1", 0.55 / 11, background=0.55, n_new=10).right
    assert said["06.2"].startswith("a ratio")


def test_every_answer_in_the_guide_is_tried() -> None:
    """By one of the two tests above, which read these."""
    tried = {"01.1", "01.2", "03.1", "08.2", "09.1", "09.2", "11.1", "11.2", "12.1"}
    assert set(answers()) == tried | {"00.1", "00.2", "08.1", "02.1", "06.2"}


def test_published_scores_in_the_guide_are_those_of_plops_table() -> None:
    rows = {task: plopkit.published(f"voc {task} overlap") for task in ("15-5", "15-1")}
    own = {task: table[table["source"] == "PLOP (CVPR 2021), Table 1"] for task, table in rows.items()}
    scores = {task: table.groupby("method")["all"].max().round(1) for task, table in own.items()}
    guide = " ".join(read("TEACHERS.md").split())
    assert scores["15-5"]["mib"] == scores["15-5"]["plop"] and f"({scores['15-5']['plop']} both)" in guide
    assert f"(15-1: {scores['15-1']['plop']} against {scores['15-1']['mib']})" in guide


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
    assert all(0.05 * width < box.x0 and box.x1 < 0.96 * width and box.y0 > 0 and box.y1 < height for box in boxes)


def test_the_same_words_give_the_same_file(tmp_path: Path) -> None:
    for name in ("first", "second"):
        with handout.own_style(**handout.STYLE):
            handout.write(handout.handout(), tmp_path / f"{name}.svg")
    assert (tmp_path / "first.svg").read_bytes() == (tmp_path / "second.svg").read_bytes()
