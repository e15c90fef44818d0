"""Run the lines of a guide or a script in the current folder, commands of plopkit in this process."""

import contextlib
import importlib.util
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from blocks import shrunk

from plopkit import cli

ROOT = Path(__file__).resolve().parent.parent


def own_file(path: Path) -> ModuleType:
    """The module that prepares and checks a guide or a script; without names if there is none."""
    if not path.exists():
        return ModuleType(path.stem)
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem.replace('-', '_')}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def environment() -> dict[str, str]:
    """The variables with which bash finds this Python and this plopkit, whose checkout is $PLOPKIT."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT), "PLOPKIT": str(ROOT)}


def words_of(line: str) -> list[str]:
    """The words of a plopkit command, as bash expands them in the current folder."""
    script = f"plopkit() {{ printf '%s\\0' \"$@\"; }}\n{line}"
    done = subprocess.run(["bash", "-c", script], env=environment(), capture_output=True, text=True, check=True)
    return done.stdout.split("\0")[:-1]


def exit_code(line: str) -> int:
    """Run a line in the current folder."""
    match = re.fullmatch(r"(plopkit\b[^|&;<>]*?)(?: > (\S+))?(?:\s+#.*)?", line)
    if not match:
        assert shlex.split(line)[0] != "cd", f"each line begins in the test's folder, so cd does nothing: {line}"
        return subprocess.run(["bash", "-c", line], env=environment()).returncode
    words = shrunk(words_of(match[1]))
    if not match[2]:
        return cli.main(words)
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        code = cli.main(words)
    Path(match[2]).write_text(printed.getvalue(), encoding="utf-8")
    return code


def run_lines(lines: Sequence[str], place: str) -> None:
    """Run lines one after another; each ends with exit code 0, or N where its comment says ``# exit code N``."""
    for line in lines:
        expected = re.search(r"# exit code (\d+)", line)
        code = exit_code(line)
        assert code == (int(expected[1]) if expected else 0), f"{place}: {line}"
