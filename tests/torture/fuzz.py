"""Random inputs of every kind: each gives a result or an error that explains itself, quickly and in little memory.

    python tests/torture/fuzz.py --seed 7 --count 50000

prints a table by kind, and inputs that did something else, with the command that repeats them. An input passes where it
gives a result, or a `ValueError`, an `OSError` or a usage error with a message that names the file; where it takes at
most five seconds of the processor and one GiB more than before; and where it starts no program.

The inputs are read in another process, which a crash or an endless loop ends.
"""

import argparse
import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[2]))

from torture.fuzz_inputs import KINDS, UNNAMED, attempt

SECONDS = 5.0
PATIENCE = 120.0
"""Seconds of the clock for an input, on a machine that does other things as well."""
MEBIBYTES = 1024
PROGRAMS = (
    "subprocess.Popen",
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "os.spawn",
    "os.fork",
    "os.forkpty",
    "pty.spawn",
)


class Result(NamedTuple):
    """What became of an input."""

    kind: str
    index: int
    outcome: str
    """"read", "refused", or what is wrong: "traceback", "no message", "slow", "memory", "program", "crash" """
    seconds: float = 0.0
    mebibytes: float = 0.0
    detail: str = ""


def outcome_of(kind: str, seed: int, index: int, folder: Path) -> tuple[str, str]:
    """Make an input and read it; returns what became of it, in a word, and the message."""
    try:
        attempt(kind, seed, index, folder)
    except (ValueError, OSError) as error:
        message = str(error)
        if not message or isinstance(error, UnicodeError):
            return "no message", f"{type(error).__name__}: {message}"
        if kind not in UNNAMED and str(folder) not in message:
            return "no message", f"names no file: {type(error).__name__}: {message}"
        return "refused", message
    except SystemExit as stop:
        return ("refused" if stop.code == 2 else "read" if not stop.code else "traceback"), f"exit code {stop.code}"
    except BaseException as error:
        import traceback

        return "traceback", "".join(traceback.format_exception(error))[-1500:]
    return "read", ""


def main() -> int:
    """Run as many inputs as asked for; 1 where one of them did not pass."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=50_000, help="number of inputs over all kinds")
    parser.add_argument("--kinds", default=",".join(KINDS), help=f"some of {','.join(KINDS)}")
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each kind")
    parser.add_argument("--show", type=int, default=3, help="number of failed inputs of a kind and outcome to print")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        _child(args.child, args.seed, args.first, args.count)
        return 0
    kinds = args.kinds.split(",")
    share = -(-args.count // len(kinds))
    print(f"{'kind':12} {'inputs':>7} {'read':>7} {'refused':>7} {'failed':>7} {'longest s':>9} {'most MiB':>9}")
    n_failed = 0
    for kind in kinds:
        results = _run(kind, args.seed, args.first, share)
        counts = Counter(result.outcome for result in results)
        failed = [result for result in results if result.outcome not in ("read", "refused")]
        n_failed += len(failed)
        longest, most = max(result.seconds for result in results), max(result.mebibytes for result in results)
        row = f"{kind:12} {len(results):7,} {counts['read']:7,} {counts['refused']:7,} {len(failed):7,}"
        print(f"{row} {longest:9.2f} {most:9.0f}", flush=True)
        shown: Counter[str] = Counter()
        for result in failed:
            shown[result.outcome] += 1
            if shown[result.outcome] <= args.show:
                again = f"--kinds {kind} --seed {args.seed} --first {result.index} --count 1"
                print(f"  {result.outcome}, {result.seconds:.1f} s, {result.mebibytes:.0f} MiB: {again}")
                print("    " + result.detail.strip()[-1200:].replace("\n", "\n    "))
    return bool(n_failed)


def _run(kind: str, seed: int, first: int, count: int) -> list[Result]:
    """All inputs of a kind, in as many processes as survive them."""
    results: list[Result] = []
    next_one, end = first, first + count
    while next_one < end:
        command = [sys.executable, __file__, "--child", kind, "--seed", str(seed)]
        command += ["--first", str(next_one), "--count", str(end - next_one)]
        with tempfile.TemporaryFile("w+") as errors:
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
            lines: queue.Queue[str] = queue.Queue()
            threading.Thread(target=_forward, args=(child.stdout, lines), daemon=True).start()
            while True:
                try:
                    line = lines.get(timeout=PATIENCE)
                except queue.Empty:
                    child.kill()
                    results.append(Result(kind, next_one, "slow", PATIENCE, detail="it did not end"))
                    break
                if not line:
                    child.wait()
                    if next_one < end:
                        errors.seek(0)
                        detail = f"the process ended with {child.returncode}: {errors.read()[-1000:]}"
                        results.append(Result(kind, next_one, "crash", detail=detail))
                    break
                results.append(Result(*json.loads(line)))
                next_one += 1
            child.wait()
        next_one += next_one < end  # behind the input that ended the process
    return results


def _forward(stream: Any, lines: "queue.Queue[str]") -> None:
    for line in stream:
        lines.put(line)
    lines.put("")


def _child(kind: str, seed: int, first: int, count: int) -> None:
    """Read inputs, and print a line for each."""
    programs: list[str] = []
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what an input prints is not a result
    with tempfile.TemporaryDirectory() as temporary:
        os.chdir(temporary)
        folder = Path(temporary).resolve() / "input"
        os.environ["PLOPKIT_CACHE"] = str(Path(temporary) / "cache")
        for number in range(10):  # imports what there is to import
            outcome_of(kind, -1, number, folder)
        _limit_memory()
        sys.addaudithook(lambda event, values: programs.append(event) if event in PROGRAMS else None)
        for index in range(first, first + count):
            del programs[:]
            before, begin = _reset_peak(), time.process_time()
            outcome, detail = outcome_of(kind, seed, index, folder)
            seconds, mebibytes = time.process_time() - begin, _peak() - before
            if programs:
                outcome, detail = "program", f"{programs}; {outcome}: {detail}"
            elif seconds > SECONDS:
                outcome, detail = "slow", f"{outcome}: {detail}"
            elif mebibytes > MEBIBYTES:
                outcome, detail = "memory", f"{outcome}: {detail}"
            print(json.dumps(Result(kind, index, outcome, seconds, mebibytes, detail)), file=out, flush=True)


def _limit_memory() -> None:
    """Let this process have two GiB more than now, so that a bomb does not take the machine's."""
    try:
        import resource
    except ImportError:  # Windows
        return
    size = next((int(line.split()[1]) for line in _status() if line.startswith("VmSize")), 0) * 1024
    if size:
        resource.setrlimit(resource.RLIMIT_AS, (size + 2 * 2**30, resource.getrlimit(resource.RLIMIT_AS)[1]))


def _status() -> list[str]:
    path = Path("/proc/self/status")
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def _reset_peak() -> float:
    """Begin to measure the process's largest size again, where the system can; returns its present size in MiB."""
    try:
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    except OSError:
        return 0.0
    return _value("VmRSS")


def _peak() -> float:
    return _value("VmHWM")


def _value(name: str) -> float:
    return next((int(line.split()[1]) / 1024 for line in _status() if line.startswith(name)), 0.0)


if __name__ == "__main__":
    raise SystemExit(main())
