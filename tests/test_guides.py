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

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
from blocks import Block, blocks, shrunk

from plopkit import cli

ROOT = Path(__file__).resolve().parent.parent
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PREPARED = ROOT / "tests" / "guides"


def own_file(name: str) -> ModuleType:
    """The guide's own file in tests/guides; a module without names if there is none."""
    path = PREPARED / f"{name}.py"
    if not path.exists():
        return ModuleType(name)
    spec = importlib.util.spec_from_file_location(f"guide_{name.replace('-', '_')}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment() -> dict[str, str]:
    """The variables with which bash finds this Python and this plopkit."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}


def words_of(line: str) -> list[str]:
    """The words of a plopkit command, as bash expands them in the current folder."""
    script = f"plopkit() {{ printf '%s\\0' \"$@\"; }}\n{line}"
    done = subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def exit_code(line: str) -> int:
    """Run a line in the current folder."""
    match = re.fullmatch(r"(plopkit\b[^|&;<>]*?)(?: > (\S+))?(?:\s+#.*)?", line)
    if not match:
        assert shlex.split(line)[0] != "cd", f"each line begins in the guide's folder, so cd does nothing: {line}"
        return subprocess.run(["bash", "-c", line], env=environment()).returncode
    words = shrunk(words_of(match[1]))
    if not match[2]:
        return cli.main(words)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = cli.main(words)
    Path(match[2]).write_text(printed.getvalue(), encoding="utf-8")
    return code


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
            count += run_lines(block, path)
    return count


def run_lines(block: Block, path: Path) -> int:
    lines = list(block.lines())
    for line in lines:
        expected = re.search(r"# exit code (\d+)", line)
        code = exit_code(line)
        assert code == (int(expected[1]) if expected else 0), f"{path.name}, below line {block.above}: {line}"
    return len(lines)


@pytest.mark.parametrize("path", GUIDES, ids=[path.stem for path in GUIDES])
def test_a_guide_runs_as_written(
    path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    no_pictures: None,
    own_registries: None,
) -> None:
    own = own_file(path.stem)
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
