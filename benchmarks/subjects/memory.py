"""Peak memory of the iteration, each contender in a process of its own.

python -m benchmarks.subjects.memory '{"kind": "plopkit", "norm": "abn", "folder": "/tmp/…"}'  # one contender
"""

import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.subjects.iteration import norms, plopkit_iteration, published_iteration, save_start
from benchmarks.timing import Effort, Row

BAR = 0.88
ITERATIONS = 3


def peak(kind: str, norm: str, folder: Path, **configuration: Any) -> float:
    """GiB of memory at the peak of a few iterations, counted from their beginning on.

    Args:
        kind: "plopkit" or "published".
        norm: "abn" or "iabn".
        folder: has "start.pt" for the published training, and room for plopkit's run.
        configuration: of `published_configuration`.
    """
    if kind == "plopkit":
        work = plopkit_iteration(folder, norm, "fp32", configuration)
    else:
        work = published_iteration(folder, norm)
    forget_peak()
    for _ in range(ITERATIONS):
        work()
    return peak_so_far()


def forget_peak() -> None:
    """Count the peak from here; only Linux can, and elsewhere it is that of the whole process."""
    path = Path("/proc/self/clear_refs")
    if path.exists():
        path.write_text("5")


def peak_so_far() -> float:
    """GiB since `forget_peak`."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**30


def in_a_process(**arguments: Any) -> float:
    """`peak` in a new process."""
    command = [sys.executable, "-m", "benchmarks.subjects.memory", json.dumps(arguments, default=str)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return float(done.stdout.splitlines()[-1])


def measure(effort: Effort) -> list[Row]:
    """plopkit's peak with each norm against the published one with the same."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_start(folder)
        for norm in norms()[: 1 if effort.quick else None]:
            kinds = ("plopkit", "published")
            ours, reference = (in_a_process(kind=kind, norm=norm, folder=folder) for kind in kinds)
            rows.append(Row(f"peak memory, norm {norm}", ours, reference, "GiB", BAR, against=f"published, {norm}"))
    return rows


if __name__ == "__main__":
    chosen = json.loads(sys.argv[1])
    print(peak(**chosen | {"folder": Path(chosen["folder"])}))
