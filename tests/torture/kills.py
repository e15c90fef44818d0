"""Runs killed in the middle of epochs: they must end with the bytes of a run that nothing has stopped.

    python tests/torture/kills.py --count 100 --seed 0

Each run is killed a few times by one signal, at random moments, and the same command is given again until it ends. A
line a run says how many iterations were lost (trained, and trained once more), whether the results are the same bytes,
and what was left over. Exit code 1 where a run differs, leaves something, or loses more than one iteration a kill, or
ends with another exit code than its signal's.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]
os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}

import pandas as pd  # noqa: E402
from small_runs import small_flags  # noqa: E402

import plopkit.runs.experiment as experiment  # noqa: E402
from plopkit.cli import main  # noqa: E402
from plopkit.training import Training  # noqa: E402

METHODS = ("plop", "mib", "ewc", "pi", "rw")
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
EXIT_CODES = {signal.SIGKILL: -9, signal.SIGTERM: 143, signal.SIGINT: 130}
FLAGS = ("--optim.epochs", "2", "--optim.epochs-later", "2", "--optim.batch", "4", "--quiet")
N_ITERATIONS = 40
"""Of a whole run: two steps of two epochs of ten batches, or about."""


class Case(NamedTuple):
    """A run to be killed."""

    method: str
    workers: int
    micro_batch: int | None
    processes: int
    signal: signal.Signals
    whom: str
    """all: also the workers and every process; main: the first process; last: the last process"""


class Outcome(NamedTuple):
    """What came of it."""

    kills: int
    lost: int
    """the most iterations lost by a kill"""
    seconds: float
    """the longest time from signal to end"""
    equal: bool
    litter: str
    codes: str


def flags_of(case: Case, out: Path) -> list[str]:
    """The command."""
    flags = ["run", "emoji 15-5 overlap", "--method", case.method, *small_flags(out), *FLAGS]
    minutes = "0" if case.signal == signal.SIGKILL else "10"  # the others save before they end the process
    flags += ["--compute.workers", str(case.workers), "--compute.save-minutes", minutes]
    return [*flags, "--compute.micro-batch", str(case.micro_batch)] if case.micro_batch else flags


def free_port() -> int:
    """A port for the processes of a run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(words: list[str], log: Path, processes: int) -> list[int]:
    """The ids of the processes of a run; the first writes a line into a file for each iteration that it has counted."""
    log.unlink(missing_ok=True)
    port, ids = free_port(), []
    sys.stdout.flush()
    for rank in range(processes):
        if child := os.fork():
            ids.append(child)
            continue
        os.setpgid(0, 0)
        if processes > 1:
            numbers = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": processes, "LOCAL_WORLD_SIZE": processes}
            os.environ |= {name: str(number) for name, number in numbers.items()}
            os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        errors = os.open(log.with_suffix(f".{rank}"), os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
        os.dup2(errors, 1)
        os.dup2(errors, 2)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # what runs in the background of a shell ignores it
        code = 1
        try:
            if rank == 0:
                note_iterations(log)
            code = main(words)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return ids


def note_iterations(log: Path) -> None:
    """Write a line for each iteration from now on, when it is counted."""
    file, original = open(log, "a", encoding="utf-8", buffering=1), Training.count  # noqa: SIM115

    def count(training: Training, tick, reading) -> None:
        original(training, tick, reading)
        file.write(f"{tick.step} {tick.iteration}\n")

    Training.count = count  # type: ignore[method-assign]


def iterations(log: Path) -> list[tuple[int, int]]:
    """The (step, iteration) of each whole line."""
    if not log.is_file():
        return []
    lines = [line for line in log.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
    return [(int(step), int(iteration)) for step, iteration in map(str.split, lines)]


def wait_for(ids: list[int], log: Path, n_iterations: int) -> list[int]:
    """Wait until n_iterations are counted or a process has ended; returns the codes of those that have."""
    while len(iterations(log)) < n_iterations:
        ended, status = os.waitpid(ids[0], os.WNOHANG)
        if ended:
            return [os.waitstatus_to_exitcode(status), *codes_of(ids[1:])]
        time.sleep(0.001)
    return []


def codes_of(ids: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in ids]


def kill(ids: list[int], case: Case) -> tuple[list[int], float]:
    """The processes' exit codes, and the time that they took."""
    began = time.monotonic()
    if case.whom == "all":
        for child in ids:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child, case.signal)
    else:
        with contextlib.suppress(ProcessLookupError):
            os.kill(ids[0] if case.whom == "main" else ids[-1], case.signal)
    return codes_of(ids), time.monotonic() - began


def contents(out: Path) -> dict[str, object]:
    """The content of every file in a folder by its name, without times, and without what the command says of itself."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.name == "settings.yaml" or not path.is_file():
            found[name] = path.is_file()
        elif path.name == "ticks.csv":
            found[name] = pd.read_csv(path).drop(columns="seconds").to_csv()
        elif path.name.endswith(".ticks.json"):
            found[name] = [tick | {"seconds": 0} for tick in json.loads(path.read_text(encoding="utf-8"))]
        elif not path.name.endswith((".sha256", ".lock", "origin.json")):  # digests of times, and dates
            found[name] = path.read_bytes()
        else:
            found[name] = True
    return found


def compared(out: Path, expected: dict[str, object]) -> tuple[bool, str]:
    """Whether a folder has the expected content, and the names of what it has besides."""
    found = contents(out)
    equal = all(found.get(name) == content for name, content in expected.items())
    return equal, " ".join(sorted(found.keys() - expected.keys()))


def lost_by(before: list[tuple[int, int]], after: list[tuple[int, int]]) -> int:
    """How many iterations were counted and then trained once more."""
    return len(set(before) & set(after))


def torture(case: Case, folder: Path, expected: dict[str, object], moments: random.Random, kills: int) -> Outcome:
    """Kill a run some times, let it end, and compare."""
    words, log = flags_of(case, folder / "runs"), folder / "log"
    counted: list[tuple[int, int]] = []
    lost, longest, done = 0, 0.0, 0
    codes: list[str] = []
    while done < kills:
        ids = start(words, log, case.processes)
        ended = wait_for(ids, log, moments.randint(1, N_ITERATIONS // kills))
        if ended:
            break
        time.sleep(moments.random() * 0.1)
        ended, seconds = kill(ids, case)
        longest, done = max(longest, seconds), done + 1
        lost, counted = max(lost, lost_by(counted, iterations(log))), counted + iterations(log)
        codes += [str(code) for code in ended if code not in (0, EXIT_CODES[case.signal])]  # 0: it was too late
    for _ in range(2):  # the second time, everything is there
        ended = codes_of(start(words, log, case.processes))
        codes += [f"{code} at the end" for code in ended if code]
        lost, counted = max(lost, lost_by(counted, iterations(log))), counted + iterations(log)
    return Outcome(done, lost, longest, *compared(folder / "runs", expected), " ".join(codes))


def cases(seed: int, methods: list[str], workers: list[int], processes: list[int]) -> Iterator[Case]:
    """Runs without end: signals and methods in turn, the rest by chance."""
    choose = random.Random(seed)
    number = 0
    while True:
        count = choose.choice(processes)
        whom = choose.choice(["all", "main"] if count == 1 else ["all", "last"])
        sent = SIGNALS[number % len(SIGNALS)]
        if count > 1 and sent == signal.SIGKILL:
            whom = "all"  # of others, a process that waits for one that is gone ends by itself, some time
        method = methods[number // len(SIGNALS) % len(methods)]
        yield Case(method, choose.choice(workers), choose.choice([None, 2]), count, sent, whom)
        number += 1


def torment(args: argparse.Namespace, folder: Path) -> bool:
    """Kill runs until there were enough kills; whether all was well."""
    experiment.draw_pictures = lambda *_: None  # type: ignore[assignment]
    expected: dict[tuple[str, int | None, int], dict[str, object]] = {}
    moments, done, well = random.Random(args.seed + 1), 0, True
    print(
        "| method | workers | micro-batch | processes | signal | to | kills | lost | seconds | equal | litter | codes |"
    )
    print("|" + " --- |" * 12)
    for number, case in enumerate(cases(args.seed, args.methods, args.workers, args.processes)):
        if done >= args.count:
            break
        key = case.method, case.micro_batch, case.processes
        if key not in expected:
            straight = folder / "-".join(map(str, key))
            straight.mkdir()
            codes = codes_of(start(flags_of(case, straight / "runs"), straight / "log", case.processes))
            if any(codes):
                sys.exit(f"the run that nothing stops ended with {codes}:\n" + straight.joinpath("log.0").read_text())
            expected[key] = contents(straight / "runs")
        own = folder / f"case {number}"
        own.mkdir()
        outcome = torture(case, own, expected[key], moments, min(args.kills, args.count - done))
        fine = outcome.equal and not outcome.litter and not outcome.codes and outcome.lost <= 1
        done, well = done + outcome.kills, well and fine
        cells = [case.method, case.workers, case.micro_batch or "", case.processes, case.signal.name, case.whom]
        cells += [outcome.kills, outcome.lost, f"{outcome.seconds:.1f}", "yes" if outcome.equal else "NO"]
        print("|", " | ".join(map(str, [*cells, outcome.litter, outcome.codes])), "|", flush=True)
        if fine:
            shutil.rmtree(own)
    print(f"\n{done} kills, seed {args.seed}: " + ("all runs ended with the same bytes" if well else f"see {folder}"))
    return well


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="number of kills")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kills", type=int, default=3, help="kills of one run")
    parser.add_argument("--methods", nargs="+", default=list(METHODS))
    parser.add_argument("--workers", nargs="+", type=int, default=[0, 2])
    parser.add_argument("--processes", nargs="+", type=int, default=[1])
    return parser.parse_args()


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp(prefix="kills-"))
    if not torment(parsed(), place):
        sys.exit(1)
    shutil.rmtree(place)
