"""Right answers are counted, in a file of the current folder, where a person gives them; solutions stay folded."""

import json
from pathlib import Path

import pytest

from plopkit.lessons import progress, solution
from plopkit.lessons.attempts import attempt
from plopkit.lessons.exercises import all_exercises, check, exercise_names
from plopkit.lessons.progress_file import NAME, read, record

ALL = ("00.1", "00.2", "03.pool")


@pytest.fixture
def person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Somebody works in this folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("plopkit.lessons.progress_file.is_interactive", lambda: True)
    return tmp_path


def test_right_answers_are_counted_once_and_kept(person: Path, capsys: pytest.CaptureFixture[str]) -> None:
    total = len(exercise_names())
    assert str(progress()) == f"0 of {total} exercises right."
    assert str(check("02.1", 0.1, background=1.1, n_new=10)).startswith(f"Exercise 02.1: right. 1 of {total} exercises")
    check("02.1", 0.1, background=1.1, n_new=10)
    check("02.1", 0.2, background=1.1, n_new=10)
    exec(solution("04.entropy").code, {"attempt": attempt})
    assert f"04.entropy: right. 2 of {total}" in capsys.readouterr().out
    assert json.loads((person / NAME).read_text())["right"] == ["02.1", "04.entropy"]
    assert str(progress()) == f"2 of {total} exercises right; next: 00.1."
    assert f'value="2" max="{total}"' in progress()._repr_html_()


def test_without_a_person_nothing_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(check("02.1", 0.1, background=1.1, n_new=10)) == "Exercise 02.1: right."
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", '{"right": 3}', '{"wrong": []}', "\0", '{"right": [[]]}'])
def test_a_damaged_file_is_begun_again(content: str, tmp_path: Path) -> None:
    (tmp_path / NAME).write_text(content)
    before = read(ALL, tmp_path)
    assert before.right == () and str(before).startswith("0 of 3 exercises right.")
    after = record("00.2", ALL, tmp_path)
    assert after.right == ("00.2",) and after.next == "00.1"
    assert read(ALL, tmp_path).right == ("00.2",) and not read(ALL, tmp_path).note


def test_a_damaged_file_is_mentioned(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text("{")
    assert "counting begins again: JSONDecodeError" in str(read(ALL, tmp_path))


def test_a_folder_in_the_way_is_mentioned(tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    after = record("00.1", ALL, tmp_path)
    assert after.right == ("00.1",) and "This is not kept" in after.note


def test_names_that_are_gone_do_not_count(tmp_path: Path) -> None:
    (tmp_path / NAME).write_text('{"right": ["00.1", "99.9"]}')
    assert str(read(ALL, tmp_path)) == "1 of 3 exercises right; next: 00.2."


def test_a_solution_is_folded_and_can_be_copied() -> None:
    shown = solution("03.pool")._repr_html_()
    assert shown.startswith("<details><summary>Solution of 03.pool") and "return torch.cat(strips, 1)" in shown
    assert solution("03.pool").code.startswith('import torch\n\n\n@attempt("03.pool")\ndef pool(x, scale):\n')
    assert "torch" not in str(solution("03.pool")) == repr(solution("03.pool"))
    with pytest.raises(ValueError, match=r"no exercise '03\.9'"):
        solution("03.9")


def test_the_solution_of_every_question_ends_with_its_check() -> None:
    for name in all_exercises():
        assert f'lesson.check("{name}", ' in solution(name).code.splitlines()[-1]
