"""The shape of the code and the cost of starting it: modules, imports, cycles, long modules and functions, start-up.

    .venv/bin/python benchmarks/house.py
    PYTHONPATH=../other-checkout .venv/bin/python benchmarks/house.py   # the plopkit of another checkout

Prints a table in Markdown. Imports inside functions are counted, imports for type checkers are not. grimp, which comes
with import-linter, builds the import graph.
"""

import argparse
import ast
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import grimp

ROOT = Path(next(iter(find_spec("plopkit").submodule_search_locations)))
LONG_MODULE, LONG_FUNCTION = 250, 60  # lines
COMMANDS = {
    "plopkit --help": ["-m", "plopkit", "--help"],
    "import plopkit.scenario": ["-c", "import plopkit.scenario"],
}


class Function(NamedTuple):
    """A function or method and its length in lines, docstring included."""

    name: str
    lines: int


def room_of(module: str) -> str:
    """The package or module directly in plopkit that a module belongs to."""
    return ".".join(module.split(".")[:2])


def cycles(arrows: set[tuple[str, str]]) -> list[set[str]]:
    """The strongly connected components with more than one member, largest first."""
    after: dict[str, set[str]] = {}
    for start, end in arrows:
        after.setdefault(start, set()).add(end)
        after.setdefault(end, set())

    def reachable(start: str) -> set[str]:
        seen, waiting = set(), [start]
        while waiting:
            for end in after[waiting.pop()] - seen:
                seen.add(end)
                waiting.append(end)
        return seen

    reach = {name: reachable(name) for name in after}
    found = {frozenset({name, *(end for end in reach[name] if name in reach[end])}) for name in after}
    return sorted(({*members} for members in found if len(members) > 1), key=len, reverse=True)


def functions(path: Path) -> Iterator[Function]:
    """All functions and methods of a file."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Function(f"{path.stem}.{node.name}", node.end_lineno - node.lineno + 1)


def start_up(arguments: list[str], repeats: int) -> tuple[float, float]:
    """Median processor seconds and peak memory in MiB of a fresh Python."""
    seconds, peaks = [], []
    for _ in range(repeats):
        process = subprocess.Popen([sys.executable, *arguments], cwd=ROOT.parent, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise SystemExit(f"python {' '.join(arguments)} failed")
        seconds.append(usage.ru_utime + usage.ru_stime)
        peaks.append(usage.ru_maxrss / (1024 if sys.platform != "darwin" else 2**20))
    return statistics.median(seconds), statistics.median(peaks)


def shape() -> dict[str, str]:
    """What the source says, by the row's title."""
    graph = grimp.build_graph("plopkit", exclude_type_checking_imports=True, cache_dir=None)
    arrows = {(start, end) for start in graph.modules for end in graph.find_modules_directly_imported_by(start)}
    rooms = {(room_of(start), room_of(end)) for start, end in arrows}
    rooms = {(start, end) for start, end in rooms if start != end}
    paths = sorted(ROOT.rglob("*.py"))
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in paths}
    longest = sorted(lengths, key=lengths.__getitem__, reverse=True)[:3]
    every = sorted((f for path in paths for f in functions(path)), key=lambda f: f.lines, reverse=True)
    module_cycles, room_cycles = cycles(arrows), cycles(rooms)
    return {
        "modules": str(len(paths)),
        "packages": str(sum(path.name == "__init__.py" for path in paths)),
        "lines": f"{sum(lengths.values()):,}",
        "imports between modules": str(len(arrows)),
        "rooms (packages and modules directly in plopkit)": str(len({room for pair in rooms for room in pair})),
        "imports between rooms": str(len(rooms)),
        "cycles of modules": f"{len(module_cycles)}{_largest(module_cycles)}",
        "cycles of rooms": f"{len(room_cycles)}{_largest(room_cycles)}",
        "longest modules": ", ".join(f"{path.relative_to(ROOT)} {lengths[path]}" for path in longest),
        f"modules over {LONG_MODULE} lines": str(sum(length > LONG_MODULE for length in lengths.values())),
        "longest functions": ", ".join(f"{f.name} {f.lines}" for f in every[:3]),
        f"functions over {LONG_FUNCTION} lines": str(sum(f.lines > LONG_FUNCTION for f in every)),
    }


def _largest(found: list[set[str]]) -> str:
    return f" (largest: {', '.join(sorted(name.removeprefix('plopkit.') for name in found[0]))})" if found else ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="starts of each command; the median is printed")
    args = parser.parse_args()
    rows = shape()
    for title, arguments in COMMANDS.items():
        try:
            seconds, peak = start_up(arguments, args.repeats)
        except SystemExit as error:
            rows[title] = str(error)
        else:
            rows[title] = f"{seconds:.2f} s of processor time, {peak:.0f} MiB"
    print("| what | value |\n|---|---|")
    print("\n".join(f"| {title} | {value} |" for title, value in rows.items()))


if __name__ == "__main__":
    main()
