"""Runs killed by each signal end with the bytes of one that nothing stops; `tests/torture/kills.py` kills more."""

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[1] / "torture" / "kills.py"


def test_a_killed_run_loses_an_iteration_at_most(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), *"--count 3 --kills 1 --methods ewc --workers 0 --seed 1".split()]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    for name in ("SIGKILL", "SIGTERM", "SIGINT"):
        assert f" {name} " in done.stdout
    assert "3 kills, seed 1: all runs ended with the same bytes" in done.stdout
