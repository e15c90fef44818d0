"""`plopkit lessons` copies every lesson, overwrites nothing, and opens JupyterLab in the folder."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

from plopkit.cli import main
from plopkit.lessons.install import copy_lessons, lessons
from plopkit.support import resources

ROOT = Path(__file__).resolve().parents[2]
NAMES = sorted(p.name for p in (ROOT / "notebooks").glob("*.ipynb") if not p.name.endswith(".out.ipynb"))


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The arguments that JupyterLab was started with."""
    from jupyterlab.labapp import LabApp

    calls: list[list[str]] = []
    monkeypatch.setattr(LabApp, "launch_instance", classmethod(lambda cls, argv: calls.append(argv)))
    return calls


def test_every_lesson_and_the_readme_are_copied_as_they_are(tmp_path: Path, opened: list, capsys) -> None:
    folder = tmp_path / "deep" / "lessons"
    assert main(["lessons", str(folder), "--no-open"]) == 0
    assert sorted(path.name for path in folder.iterdir()) == sorted(["README.md", *NAMES])
    for path in folder.iterdir():
        assert path.read_bytes() == (ROOT / "notebooks" / path.name).read_bytes()
    assert opened == []
    assert capsys.readouterr().out == f"{folder}: {len(NAMES) + 1} files copied, 0 already up to date\n"


def test_what_the_student_has_changed_is_kept(tmp_path: Path, opened: list, capsys) -> None:
    copy_lessons(tmp_path)
    edited, deleted = tmp_path / NAMES[0], tmp_path / NAMES[1]
    edited.write_text("my answers", encoding="utf-8")
    deleted.unlink()
    copied = copy_lessons(tmp_path)
    assert (copied.new, copied.kept, len(copied.same)) == ([deleted], [edited], len(NAMES) - 1)
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
    assert opened == [["plopkit-lessons"], ["my-lessons", "--no-browser", "--port", "8899"]]
    assert (tmp_path / "my-lessons" / NAMES[0]).is_file()


def test_without_jupyterlab_it_copies_and_says_what_to_install(tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setitem(sys.modules, "jupyterlab.labapp", None)
    assert main(["lessons", str(tmp_path / "my-lessons")]) == 2
    printed = capsys.readouterr().err
    assert "python -m pip install ipykernel ipywidgets jupyterlab papermill," in printed
    assert "--no-open" in printed
    assert (tmp_path / "my-lessons" / NAMES[0]).is_file()


def test_a_file_in_the_folders_place_is_an_error(tmp_path: Path, capsys) -> None:
    (tmp_path / "taken").write_text("", encoding="utf-8")
    assert main(["lessons", str(tmp_path / "taken"), "--no-open"]) == 2
    assert capsys.readouterr().err == f"plopkit: {tmp_path / 'taken'}: a file is in the way; name a folder\n"


def test_the_lessons_are_those_of_the_checkout() -> None:
    assert [path.name for path in lessons()] == ["README.md", *NAMES]
    assert lessons()[1].parent == resources.notebook(NAMES[0]).parent == ROOT / "notebooks"


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
    assert summary == f"my-lessons: {len(NAMES) + 1} files copied, 0 already up to date"
    assert (tmp_path / "my-lessons" / NAMES[-1]).is_file()
