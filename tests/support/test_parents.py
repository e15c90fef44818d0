"""A process whose launcher, or grid, is killed ends by itself, and saves first."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from waiting import wait_until

from plopkit.support import parents
from plopkit.support.parents import LAUNCHED, PARENT, end_with_parent

pytestmark = pytest.mark.skipif(os.name != "posix", reason="a process of this system does not know that it is alone")

# Starts the script that follows, and waits for it.
STARTER = "import subprocess, sys; subprocess.run([sys.executable, '-c', *sys.argv[1:]])"
CHILD = """
import os, signal, sys, time
from pathlib import Path
from plopkit.support import parents
parents.LOOK, parents.GRACE = 0.05, 0.2
notes = Path(sys.argv[1])
def end(*_):
    (notes / "saved").touch()
    os._exit(143)
signal.signal(signal.SIGTERM, signal.SIG_IGN if sys.argv[2] == "deaf" else end)
parents.end_with_parent()
(notes / "new").write_text(str(os.getpid()))
(notes / "new").rename(notes / "child")
while True:
    time.sleep(0.05)
"""


def is_alive(pid: int) -> bool:
    """Whether a process is there; a zombie, which waits for an init that never comes, is not."""
    try:
        os.kill(pid, 0)
        stat = Path(f"/proc/{pid}/stat")
        return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


def started(notes: Path, kind: str, variables: dict[str, str]) -> tuple["subprocess.Popen[bytes]", int]:
    """A process, and the id of the one that it has started."""
    environment = {name: value for name, value in os.environ.items() if name not in (PARENT, LAUNCHED)} | variables
    starter = subprocess.Popen([sys.executable, "-c", STARTER, CHILD, str(notes), kind], env=environment)
    wait_until((notes / "child").exists, starter)
    return starter, int((notes / "child").read_text())


@pytest.mark.parametrize("kind", ["saving", "deaf"])
def test_a_rank_ends_when_its_launcher_is_killed(tmp_path: Path, kind: str) -> None:
    """`deaf`: it hears no signal, as in a collective operation that waits for a process which is gone."""
    launcher, rank = started(tmp_path, kind, {LAUNCHED: "none"})
    assert is_alive(rank)
    launcher.kill()
    launcher.wait()
    wait_until(lambda: not is_alive(rank))
    assert (tmp_path / "saved").exists() == (kind == "saving")


def test_a_process_whose_grid_is_gone_already_ends(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    command = [sys.executable, "-c", CHILD, str(tmp_path), "saving"]
    done = subprocess.run(command, env=os.environ | {PARENT: str(gone.pid)}, timeout=60, check=False)
    assert done.returncode == 143
    assert (tmp_path / "saved").exists()


def test_a_process_of_a_shell_goes_on_without_it(tmp_path: Path) -> None:
    shell, run = started(tmp_path, "saving", {})
    shell.kill()
    shell.wait()
    time.sleep(0.3)
    assert is_alive(run)
    os.kill(run, signal.SIGKILL)


def test_what_a_run_starts_does_not_watch_the_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PARENT, str(os.getppid()))
    monkeypatch.setattr(parents.threading.Thread, "start", lambda self: None)
    end_with_parent()
    assert PARENT not in os.environ
