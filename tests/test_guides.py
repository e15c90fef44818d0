"""The guides in docs/guides are true: everything in them runs.

A guide's blocks run in order, in a folder that is empty but for what ``prepare(folder: Path) -> None`` of
tests/guides/<name>.py puts there; ``check(folder: Path, printed: str) -> None`` of that file looks at the results. A
guide that needs neither has no such file.

- ```bash: each line is a command, and its exit code is 0, or N where the line ends with the comment ``# exit code
  N``. A line begins in the folder (so no ``cd``), and may be continued by a backslash. ``plopkit …``, also with ``>
  FILE`` at its end, runs in this process; anything else, such as ``ls`` or a pipe, in bash. `plopkit run`, `grid` and
  `evaluate` run with preset smoke, and with a smaller network and fewer images (`small_runs.SMALL`) where the line
  does not set them.
- ```python: runs as it is; all blocks of a guide share their names.
- A block of any other language, or of Python, whose first line is a comment with a file's name (``# my_method.py``) is
  written to that file, and not run.
- What cannot run here, such as ``pip install`` or ``ssh``, is in ```console or ```text.
"""

import re
from pathlib import Path

import pytest
from blocks import blocks
from command_lines import own_file, run_lines, words_of

ROOT = Path(__file__).resolve().parent.parent
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PREPARED = ROOT / "tests" / "guides"


def run(path: Path) -> int:
    """Run a guide in the current folder; the number of its commands and Python blocks."""
    names: dict[str, object] = {"__name__": "__main__"}
    count = 0
    for block in blocks(path.read_text(encoding="utf-8")):
        if block.file:
            Path(block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "python":
            exec(compile("\n" * block.above + block.text, str(path), "exec"), names)
            count += 1
        elif block.language == "bash":
            lines = list(block.lines())
            run_lines(lines, f"{path.name}, below line {block.above}")
            count += len(lines)
    return count


@pytest.mark.parametrize("path", GUIDES, ids=[path.stem for path in GUIDES])
def test_a_guide_runs_as_written(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    no_pictures: None,
    own_registries: None,
) -> None:
    own = own_file(PREPARED / f"{path.stem}.py")
    getattr(own, "prepare", lambda folder: None)(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run(path) > 0, f"{path.name} has no command in a bash or python block"
    getattr(own, "check", lambda folder, printed: None)(tmp_path, capfd.readouterr().out)


def test_every_preparation_is_of_a_guide() -> None:
    assert {path.stem for path in PREPARED.glob("*.py")} <= {path.stem for path in GUIDES}


def test_guides_use_no_sh_blocks() -> None:
    assert [path.name for path in GUIDES if blocks(path.read_text(encoding="utf-8"), "sh")] == []


# --- how guides are run


@pytest.fixture
def guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a test writes its guide; the current folder is next to it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "guide.md"


def test_files_python_and_commands_run_in_order(guide: Path, capfd: pytest.CaptureFixture[str]) -> None:
    guide.write_text(
        "```yaml\n# my settings.yaml\n```\n```yaml\n# a.yaml\nx: 1\n```\n\n"
        "```python\nfrom pathlib import Path\nn = 2\n```\n"
        "```bash\n# a comment\nplopkit --version > version.txt  # the version\n"
        "cat a.yaml \\\n  version.txt\nls | wc -l\n```\n"
        "```python\nPath('b').write_text('é' * n, encoding='utf-8')\n```\n```console\n$ false\n```\n",
        encoding="utf-8",
    )
    assert run(guide) == 5
    assert capfd.readouterr().out.startswith("# a.yaml\nx: 1\nplopkit 0.")
    assert Path("b").read_text(encoding="utf-8") == "éé"


def test_words_are_those_of_the_shell(guide: Path) -> None:
    for name in ("a 1.jpg", "a 2.jpg"):
        Path(name).touch()
    assert words_of("plopkit predict 'x y' a*.jpg --method \"it's\"  # all") == [
        *("predict", "x y", "a 1.jpg", "a 2.jpg", "--method", "it's")
    ]


@pytest.mark.parametrize("line", ["false", "plopkit nothing", "ls none", "true  # exit code 1", "cd ."])
def test_a_line_that_does_not_end_as_it_says_fails(guide: Path, line: str) -> None:
    guide.write_text(f"```bash\n{line}\n```\n", encoding="utf-8")
    with pytest.raises(AssertionError, match=re.escape(line)):
        run(guide)


def test_another_exit_code_is_expected_where_the_comment_says_so(guide: Path) -> None:
    guide.write_text("```bash\nplopkit nothing  # exit code 2\nfalse  # exit code 1: no\n```\n", encoding="utf-8")
    assert run(guide) == 2


def test_a_python_block_that_fails_names_its_line(guide: Path) -> None:
    guide.write_text("A text.\n\n```python\n1 / 0\n```\n", encoding="utf-8")
    with pytest.raises(ZeroDivisionError) as error:
        run(guide)
    assert error.traceback[-1].lineno == 3
