"""torchrun killed with SIGKILL leaves no rank behind, and nothing but the iteration under way is lost."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from small_runs import small_flags
from waiting import wait_until

ROOT = Path(__file__).resolve().parents[1]
MOST = 60.0
"""Seconds after which no rank may be left."""


@pytest.mark.skipif(sys.platform == "win32", reason="this system has no SIGKILL")
def test_no_rank_outlives_its_launcher(tmp_path: Path) -> None:
    out = tmp_path / "runs"
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "plopkit"]
    command += ["run", "emoji 15-5 overlap", *small_flags(out), "--method", "ft", "--optim.epochs", "9999"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with open(tmp_path / "stderr", "wb") as stderr:
        launcher = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=stderr, stderr=stderr)
    wait_until(lambda: list(out.glob(".step0/*/step-0.training.*.pt")), launcher)
    ranks = [process for process in psutil.Process(launcher.pid).children() if "run" in process.cmdline()]
    assert len(ranks) == 2
    launcher.send_signal(signal.SIGKILL)
    launcher.wait()
    _, left = psutil.wait_procs(ranks, timeout=MOST)
    left = [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
    for process in left:
        process.kill()
    assert left == []
    assert (tmp_path / "stderr").read_text().count("plopkit: ended by SIGTERM; the same command continues") == 2
