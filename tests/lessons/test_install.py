"""`plopkit lessons` copies every lesson, overwrites nothing, and opens JupyterLab in the folder."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from hatchling.builders.wheel import WheelBuilder
from small_runs import small, ticks_until

from plopkit.cli import main
from plopkit.lessons.install import BESIDE, FOR_TEACHERS, copy_lessons, copy_runs, lessons
from plopkit.runs.experiment import Experiment, run
from plopkit.runs.folder import RunFolder
from plopkit.runs.origin import ChangedError, read_record
from plopkit.support import resources
from plopkit.support.files import write_text

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb") if not p.name.endswith(".out.ipynb"))
NAMES = [*BESIDE, *NOTEBOOKS]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments that JupyterLab was started with."""
    from jupyterlab.labapp import LabApp

    calls: list[list[str]] = []
    monkeypatch.setattr(LabApp, "launch_instance", classmethod(lambda cls, argv: calls.append(argv)))
    return calls


def test_what_students_get_is_copied_as_it_is(tmp_path: Path, opened: list, capsys) -> None:
    folder = tmp_path / "deep" / "lessons"
    assert main(["lessons", str(folder), "--no-open"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(NAMES)
    for path in folder.iterdir():
        assert path.read_bytes() == (ROOT / "notebooks" / path.name).read_bytes()
    assert opened == []
    assert capsys.readouterr().out == f"{folder}: {len(NAMES)} files copied, 0 already up to date\n"


def test_what_the_student_has_changed_is_kept(tmp_path: Path, opened: list, capsys) -> None:
    copy_lessons(tmp_path)
    edited, deleted = tmp_path / NOTEBOOKS[0], tmp_path / NOTEBOOKS[1]
    edited.write_text("my answers", encoding="utf-8")
    deleted.unlink()
    copied = copy_lessons(tmp_path)
    assert (copied.new, copied.kept, len(copied.same)) == ([deleted], [edited], len(NAMES) - 2)
    assert edited.read_text(encoding="utf-8") == "my answers"

    assert main(["lessons", str(tmp_path), "--no-open"]) == 0
    printed = capsys.readouterr().out
    assert f"\n    {edited}\n" in printed
    assert "To get the new version of a file, rename yours and run the same command again." in printed
    edited.rename(tmp_path / "answers.ipynb")
    assert copy_lessons(tmp_path).new == [edited]


def test_jupyterlab_opens_there_with_its_own_flags(tmp_path: Path, opened: list, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["lessons"]) == 0
    assert main(["lessons", "my-lessons", "--", "--no-browser", "--port", "8899"]) == 0
    first = NOTEBOOKS[0]
    assert opened == [[f"plopkit-lessons/{first}"], [f"my-lessons/{first}", "--no-browser", "--port", "8899"]]
    assert (tmp_path / "my-lessons" / NOTEBOOKS[0]).is_file()


def test_flags_of_jupyterlab_without_dashes_are_explained(tmp_path: Path, opened: list, capsys) -> None:
    assert main(["lessons", str(tmp_path / "mine"), "--no-browser", "--port=8899"]) == 2
    assert capsys.readouterr().err == (
        "plopkit: lessons has no --no-browser; words for JupyterLab come after two dashes: "
        "plopkit lessons DIR -- --no-browser --port=8899\n"
    )
    assert opened == [] and not (tmp_path / "mine").exists()


def links_of(path: Path) -> list[str]:
    """The targets of the relative links of a Markdown file or a notebook, without anchors."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = nbformat.reads(text, as_version=4).cells
        text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    links = [link.partition("#")[0] for link in re.findall(r"\]\(([^)\s]+)", text)]
    return [link for link in links if link and "://" not in link and not link.startswith("attachment:")]


@pytest.mark.parametrize("teacher", [False, True])
def test_every_link_in_the_folder_leads_to_a_file_of_it(tmp_path: Path, teacher: bool) -> None:
    copied = copy_lessons(tmp_path, teacher).new
    assert (tmp_path / "TEACHERS.md").exists() == teacher
    links = {path.name: links_of(path) for path in copied if path.suffix in (".md", ".ipynb")}
    lost = [(name, link) for name, found in links.items() for link in found if not (tmp_path / link).is_file()]
    assert lost == []
    assert set(NOTEBOOKS) <= set(links["README.md"]) and {"glossary.md", "handout.pdf"} <= set(links["README.md"])


def test_students_are_not_told_the_answers(tmp_path: Path) -> None:
    copy_lessons(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if "## Answers" in path.read_text(encoding="latin-1")] == []


def test_finished_runs_are_handed_out_and_read_back(tmp_path: Path, opened: list, capsys) -> None:
    leave_out = small(tmp_path / "class", method="ft")
    finished = run(leave_out, progress=False)
    half = small(tmp_path / "class", method="lwf")
    ticks_until(Experiment.open(half), lambda tick: tick.step == 1)
    for said in ("1 run copied, 0 already there", "0 runs copied, 1 already there"):
        assert main(["lessons", str(tmp_path / "out"), "--no-open", "--runs", str(tmp_path / "class")]) == 0
        printed = capsys.readouterr().out
        assert f"{tmp_path / 'out' / 'runs'}: {said}\nThese runs are not finished and were not copied:\n" in printed
        assert printed.endswith(f"    {half.folder()}\n")
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == [finished.path.name]
    own = leave_out.model_copy(update={"out": tmp_path / "out" / "runs"})
    assert list(Experiment.open(own).ticks()) == []  # nothing is left to train
    with pytest.raises(FileNotFoundError, match=r"no results\.csv"):
        copy_runs([tmp_path / "nothing"], tmp_path / "out")


def test_a_run_that_another_source_has_made_is_not_handed_out(tmp_path: Path, opened: list, capsys) -> None:
    ours, theirs = small(tmp_path / "class", method="ft"), small(tmp_path / "class", method="ft", seed=5)
    for settings in (ours, theirs):
        run(settings, progress=False)
    path = RunFolder(theirs.folder()).origin_file
    record = read_record(path)
    other = record.last.model_copy(update={"source": "0" * len(record.last.source)})
    write_text(path, record.model_copy(update={"last": other}).model_dump_json(), seal=True)
    own = theirs.model_copy(update={"out": tmp_path / "by-hand"})
    shutil.copytree(tmp_path / "class", own.out)
    with pytest.raises(ChangedError):  # what a student would get
        list(Experiment.open(own).ticks())

    capsys.readouterr()
    assert main(["lessons", str(tmp_path / "out"), "--no-open", "--runs", str(tmp_path / "class")]) == 0
    _, summary, left_out = capsys.readouterr().out.splitlines()
    assert summary == f"{tmp_path / 'out' / 'runs'}: 1 run copied, 0 already there"
    assert left_out.startswith(f"{theirs.folder()}: not copied: made by another version")
    assert left_out.endswith("train it again with this version, in a new folder")
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == [ours.folder().name]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, alone in its folder of runs."""
    return run(small(tmp_path_factory.mktemp("whole"), method="ft"), progress=False).path


def resaid(path: Path, old: str, new: str) -> None:
    """Replace words in a file of a run, and its seal with it."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    write_text(path, text.replace(old, new), seal=True)


UNUSABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "table": (lambda run: write_text(run / "results.csv", "no table"), "/results.csv: damaged ("),
    "summary": (lambda run: (run / "summary.csv").unlink(), "/summary.csv: missing; run the command of this run again"),
    "checkpoint": (
        lambda run: next((run / "checkpoints").glob("*1*.safetensors")).write_bytes(b"\0" * 999),
        ".safetensors: damaged (",
    ),
    "examples": (lambda run: (run / "examples.npz").write_bytes(b"PK"), "/examples.npz: damaged; "),
    "settings": (lambda run: (run / "settings.yaml").unlink(), "/settings.yaml: missing; "),
    "words": (lambda run: (run / "settings.yaml").write_bytes(b"\xff"), "/settings.yaml: damaged ("),
    "method": (lambda run: resaid(run / "settings.yaml", "method: ft", "method: mine"), "there is no method 'mine'"),
    "data": (lambda run: resaid(run / "settings.yaml", "scenario: emoji", "scenario: shapes"), "'shapes 15-5 overlap'"),
}
"""What makes a run useless to students, and what is said about it."""


@pytest.mark.parametrize("name", UNUSABLE)
def test_a_run_that_nobody_could_read_back_is_left_out(name: str, whole: Path, tmp_path: Path, capsys) -> None:
    damage, reason = UNUSABLE[name]
    for copy in ("good", "poor"):
        shutil.copytree(whole, tmp_path / "class" / copy)
    poor = tmp_path / "class" / "poor"
    damage(poor)
    assert main(["lessons", str(tmp_path / "out"), "--no-open", "--runs", str(tmp_path / "class")]) == 0
    _, summary, left_out = capsys.readouterr().out.splitlines()
    assert summary == f"{tmp_path / 'out' / 'runs'}: 1 run copied, 0 already there"
    assert left_out.startswith(f"{poor}: not copied: ") and reason in left_out
    assert name not in ("method", "data") or "known after --plugin FILE" in left_out
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == ["good"]


def test_a_run_that_has_lost_its_results_is_left_out(whole: Path, tmp_path: Path, capsys) -> None:
    for copy in ("good", "poor"):
        shutil.copytree(whole, tmp_path / "class" / copy)
    (lost := tmp_path / "class" / "poor" / "results.csv").unlink()
    assert main(["lessons", str(tmp_path / "out"), "--no-open", "--runs", str(tmp_path / "class")]) == 0
    printed = capsys.readouterr()
    assert "1 run copied" in printed.out
    assert f"{lost.parent}: left out: {lost}: missing; run the command of this run again" in printed.err
    assert [path.name for path in (tmp_path / "out" / "runs").iterdir()] == ["good"]


def test_without_jupyterlab_it_copies_and_says_what_to_install(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)
    assert main(["lessons", str(tmp_path / "my-lessons")]) == 2
    printed = capsys.readouterr().err
    assert "python -m pip install ipykernel ipywidgets jupyterlab papermill," in printed
    assert "--no-open" in printed
    assert (tmp_path / "my-lessons" / NOTEBOOKS[0]).is_file()


def test_a_file_in_the_folders_place_is_an_error(tmp_path: Path, capsys) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    assert main(["lessons", str(tmp_path / "taken"), "--no-open"]) == 2
    assert capsys.readouterr().err == f"plopkit: {tmp_path / 'taken'}: a file is in the way; name a folder\n"


def test_the_lessons_are_those_of_the_checkout() -> None:
    assert [path.name for path in lessons()] == NAMES
    assert [path.name for path in lessons(teacher=True)] == [*BESIDE, *FOR_TEACHERS, *NOTEBOOKS]
    assert lessons()[1].parent == resources.notebook(NOTEBOOKS[0]).parent == ROOT / "notebooks"


def test_a_wheel_carries_them(tmp_path: Path) -> None:
    """Without the checkout."""
    wheel = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path / "dist"), versions=["standard"]))
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    code = "from plopkit import cli, lessons; print(lessons.__file__); cli.main(['lessons', 'my-lessons', '--no-open'])"
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    where, *_, summary = done.stdout.splitlines()
    assert where == str(tmp_path / "site" / "plopkit" / "lessons/__init__.py")
    assert summary == f"my-lessons: {len(NAMES)} files copied, 0 already up to date"
    assert (tmp_path / "my-lessons" / NAMES[-1]).is_file()
