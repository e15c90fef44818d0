"""A run whose power is cut loses nothing that it has reported; `tests/torture/power_cuts.py` cuts more often."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[1] / "torture" / "power_cuts.py"
COMMAND = [sys.executable, str(SCRIPT), *"--cuts 1 --methods mib --systems ext4 --seed 1".split()]


@pytest.fixture(autouse=True)
def _can_mount() -> None:
    """Skip where nothing can be mounted: without root, loop devices or ext4, or in a container."""
    root = hasattr(os, "geteuid") and os.geteuid() == 0
    if not root or not shutil.which("mkfs.ext4") or not Path("/dev/loop-control").exists():
        pytest.skip("power cuts need Linux, root, a loop device and mkfs.ext4")
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("this process may not mount anything")


def test_a_power_cut_loses_nothing_reported(tmp_path: Path) -> None:
    done = subprocess.run([*COMMAND, "--count", "1"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "1 power cuts, seed 1: nothing reported was lost" in done.stdout


def test_the_cuts_are_real(tmp_path: Path) -> None:
    """Without syncs to disk the same cut takes iterations that were saved."""
    command = [*COMMAND, "--count", "1", "--without-sync"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.returncode == 1, done.stdout + done.stderr[-2000:]
    row = next(line for line in done.stdout.splitlines() if line.startswith("| ext4 "))
    iterations_lost = int(row.split("|")[6])
    assert iterations_lost > 1
