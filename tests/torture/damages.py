"""Runs with one damaged file: the same command must end with the numbers of a run that nothing has damaged.

    python tests/torture/damages.py --count 250 --seed 0

A half-done or finished run is copied, one of its files is damaged, and its command is given again. It either mends the
run, or names the file and a remedy that works. A line for each damage that ends otherwise, and a table of outcomes by
kind of file; exit code 1 where there is a silent one (other numbers), a dead end, a traceback or litter.
"""

import argparse
import contextlib
import io
import json
import os
import random
import re
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parent), str(HERE.parents[1])]
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "MPLBACKEND": "Agg"}

import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from small_runs import small_flags, ticks_until  # noqa: E402

SCENARIO = "emoji 15-5 overlap"
METHODS = ("plop", "ewc", "rw", "mib")
NAMED = ("ewc", "mib")
"""The methods whose runs have names of their own."""
STAGES = ("step 0", "step 1", "finished")
"""Stopped within step 0, within step 1, or not at all."""
FLAGS = ("--optim.epochs", "3", "--optim.epochs-later", "3", "--optim.batch", "8", "--quiet")
TEXT = (".csv", ".json", ".yaml", ".txt", ".sha256")
BAD = ("silent", "dead end", "traceback", "litter")


class Damage(NamedTuple):
    """What is done to which file."""

    method: str
    stage: str
    file: str
    """relative to the folder of runs"""
    kind: str


# Kinds of damage: each changes a file, or gives False where it cannot


def delete(path: Path, rng: random.Random) -> bool:
    path.unlink()
    return True


def empty(path: Path, rng: random.Random) -> bool:
    return _write(path, b"")


def truncate(path: Path, rng: random.Random) -> bool:
    content = path.read_bytes()
    return _write(path, content[: rng.randrange(len(content))] if content else b"")


def flip(path: Path, rng: random.Random) -> bool:
    """One bit of a byte in the middle half."""
    content = bytearray(path.read_bytes())
    if not content:
        return False
    content[rng.randrange(len(content) // 4, len(content) - len(content) // 4)] ^= 1 << rng.randrange(8)
    return _write(path, bytes(content))


def digit(path: Path, rng: random.Random) -> bool:
    """Another digit in a text."""
    content = path.read_bytes()
    places = [match.start() for match in re.finditer(rb"[0-9]", content)]
    if path.suffix not in TEXT or not places:
        return False
    place = rng.choice(places)
    other = rng.choice([number for number in b"0123456789" if number != content[place]])
    return _write(path, content[:place] + bytes([other]) + content[place + 1 :])


def swap(path: Path, rng: random.Random) -> bool:
    """The content of another file of the same type, such as another step's."""
    others = [other for other in sorted(path.parent.parent.rglob(f"*{path.suffix}")) if other.is_file()]
    contents = {other.read_bytes() for other in others} - {path.read_bytes()}
    return bool(contents) and _write(path, rng.choice(sorted(contents)))


def lose_rows(path: Path, rng: random.Random) -> bool:
    """Some lines of a table, with or without the last one."""
    lines = path.read_bytes().splitlines(keepends=True)
    if path.suffix != ".csv" or len(lines) < 4:
        return False
    n_lost = rng.randint(1, min(5, len(lines) - 2))
    first = rng.choice([rng.randint(1, len(lines) - n_lost), len(lines) - n_lost])
    return _write(path, b"".join(lines[:first] + lines[first + n_lost :]))


def _write(path: Path, content: bytes) -> bool:
    if path.read_bytes() == content:
        return False
    path.write_bytes(content)
    return True


KINDS: dict[str, Callable[[Path, random.Random], bool]] = {
    f.__name__: f for f in (delete, empty, truncate, flip, digit, swap, lose_rows)
}


# Runs


def words(method: str, out: Path) -> list[str]:
    """The command; some runs have names of their own."""
    name = ["--name", "mine"] if method in NAMED else []
    return ["run", SCENARIO, "--method", method, *small_flags(out), *FLAGS, *name]


def settings_of(method: str, out: Path):
    """The settings of the command."""
    from plopkit.flags import parse_run

    return parse_run([word for word in words(method, out)[1:] if word != "--quiet"])


class Torture:
    """Runs of each method and stage, made where they are first needed, and one place where they are damaged.

    Args:
        folder: an empty folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.place = folder / "work"
        self.out = self.place / "runs"

    @contextlib.contextmanager
    def cache(self) -> Iterator[None]:
        """Let the cache be among the files that are damaged."""
        before = os.environ.get("PLOPKIT_CACHE")
        os.environ["PLOPKIT_CACHE"] = str(self.place / "cache")
        try:
            yield
        finally:
            if before is None:
                del os.environ["PLOPKIT_CACHE"]
            else:
                os.environ["PLOPKIT_CACHE"] = before

    def template(self, method: str, stage: str) -> Path:
        """A copy of the place as a run leaves it."""
        made = self.folder / f"{method} {stage}"
        if not made.is_dir():
            from plopkit.runs.experiment import Experiment

            shutil.rmtree(self.place, ignore_errors=True)
            with self.cache(), contextlib.redirect_stderr(io.StringIO()):
                step = STAGES.index(stage)
                experiment = Experiment.open(settings_of(method, self.out))
                ticks_until(experiment, lambda tick: (tick.step, tick.epoch, tick.epoch_done) == (step, 1, True))
            shutil.copytree(self.place, made)
        return made

    def run(self, method: str) -> tuple[int, str]:
        """Give the command; the exit code, and what was written to stderr."""
        from plopkit.cli import main

        errors = io.StringIO()
        with self.cache(), contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            try:
                return main(words(method, self.out)), errors.getvalue()
            except Exception:
                return -1, errors.getvalue() + traceback.format_exc()

    def try_damage(self, damage: Damage, rng: random.Random) -> tuple[str, str] | None:
        """The outcome and what was said; None where the file cannot be damaged in this way."""
        expected = read_all(self.template(damage.method, "finished") / "runs")
        template = self.template(damage.method, damage.stage)
        shutil.rmtree(self.place, ignore_errors=True)
        shutil.copytree(template, self.place)
        folder = settings_of(damage.method, self.out).folder()
        before = read_back(folder)
        if not KINDS[damage.kind](self.place / damage.file, rng):
            return None
        after = read_back(folder)
        for name, value in after.items():
            if value.startswith("traceback"):
                return "traceback", f"{name}: {value}"
            if value != before[name] and not value.startswith("error"):
                return "silent", f"{name} is read"
        code, said = self.run(damage.method)
        outcome = "mended"
        if code == 2:
            outcome = "refused"
            remedy(said)
            code, more = self.run(damage.method)
            said += more
        if code not in (0, 2) or "Traceback" in said:
            return "traceback", said
        if code == 2:
            return "dead end", said
        if differing := differences(read_all(self.out), expected):
            return "silent", f"{differing}: {said}"
        if left := litter(self.place):
            return "litter", ", ".join(left)
        code, more = self.run(damage.method)
        if code or more.strip():
            return "dead end", f"said once more: {more}"
        return outcome, said


def remedy(said: str) -> None:
    """Do what an error says."""
    if line := re.search(r"plopkit: (.*?): .* write this line to it: (.*) - otherwise", said):
        Path(line[1]).write_text(line[2] + "\n", encoding="utf-8")
    elif named := re.search(r"plopkit: (.*?): .*delete it", said):
        path = Path(named[1])
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def read_back(folder: Path) -> dict[str, str]:
    """What a run's folder gives to those who read it: digests, or errors that name a file."""
    from plopkit.runs.folder import RunFolder
    from plopkit.runs.results import load_results

    run = RunFolder(folder)
    reads: dict[str, Callable[[], object]] = {
        "results": lambda: load_results(folder).to_csv(),
        "summary": lambda: run.summary.to_csv(),
        "ticks": lambda: run.ticks.to_csv(),
        "examples": lambda: {name: array.tolist() for name, array in run.examples.items()},
        "settings": lambda: RunFolder(folder).settings,
        **{f"net {k}": lambda k=k: [t.sum().item() for t in run.net(k).state_dict().values()] for k in range(2)},
    }
    found = {}
    for name, read in reads.items():
        try:
            found[name] = str(read())
        except (ValueError, FileNotFoundError) as error:
            found[name] = f"error {error}" if str(folder) in str(error) else f"traceback: no file in {error!r}"
        except Exception:
            found[name] = f"traceback {traceback.format_exc()}"
    return found


def read_all(out: Path) -> dict[str, object]:
    """What has to be the same in the end: the files of the runs; of ticks all but the seconds."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if (
            not path.is_file()
            or path.suffix in (".sha256", ".lock")
            or name.startswith(".step0")
            or path.name in (".lock", "origin.json")  # the latter has dates
        ):
            continue
        if path.name == "ticks.csv":
            found[name] = pd.read_csv(path).drop(columns="seconds").to_csv()
        elif path.name.endswith(".ticks.json"):
            ticks = json.loads(path.read_text(encoding="utf-8"))
            found[name] = [(tick["iteration"], {n: round(v, 6) for n, v in tick["losses"].items()}) for tick in ticks]
        else:
            found[name] = b"" if path.suffix == ".png" else path.read_bytes()
    return found


def differences(found: dict[str, object], expected: dict[str, object]) -> str:
    """The names of files that differ."""
    return ", ".join(name for name in sorted({*found, *expected}) if found.get(name) != expected.get(name))


def litter(place: Path) -> list[str]:
    """What no finished run leaves: parts, states of trainings, notes, seals of other files."""
    from plopkit.support.seals import digest_of, sealed_digests

    left = []
    for path in place.rglob("*"):
        if path.name.endswith((".part", ".appending")) or ".training." in path.name or path.name.startswith(".tmp"):
            left.append(path.name)
        elif path.suffix == ".sha256" and ".step0" not in path.parts:  # the shared step 0 is another run's as well
            owner = path.with_name(path.name[1:].removesuffix(".sha256"))
            if not owner.is_file() or sealed_digests(owner) not in ((), (digest_of(owner),)):
                left.append(path.name)
    return left


def damages(torture: Torture, rng: random.Random, methods: tuple[str, ...] = METHODS) -> Iterator[Damage]:
    """Damages to all files in turn, in random order, again and again."""
    while True:
        each = [
            Damage(method, stage, str(path.relative_to(torture.template(method, stage))), kind)
            for method in methods
            for stage in STAGES
            for path in sorted(torture.template(method, stage).rglob("*"))
            if path.is_file() and path.name != ".lock"
            for kind in (KINDS if path.suffix != ".sha256" else rng.sample(list(KINDS), 2))
        ]
        rng.shuffle(each)
        yield from each


def kind_of_file(name: str) -> str:
    """The name of a file without its numbers."""
    path = Path(name)
    where = "shared " if ".step0" in name else "cached " if name.startswith("cache") else ""
    return where + re.sub(r"presence-.*", "presence", re.sub(r"(?<=[-.])\d+", "N", path.name))


def main() -> int:
    """Damage as many runs as asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=250, help="number of damages (250)")
    parser.add_argument("--seed", type=int, default=0, help="random seed (0)")
    parser.add_argument("--verbose", action="store_true", help="a line for every damage")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        torture = Torture(Path(folder))
        for damage in damages(torture, rng):
            if (result := torture.try_damage(damage, rng)) is None:
                continue
            counts[kind_of_file(damage.file), result[0]] += 1
            if args.verbose or result[0] in BAD:
                print(f"{result[0]}: {' | '.join(damage)}\n    {result[1]}", flush=True)
            if counts.total() == args.count:
                break
    print(table(counts))
    return int(any(outcome in BAD for _, outcome in counts))


def table(counts: Counter[tuple[str, str]]) -> str:
    """Outcomes by kind of file."""
    outcomes = ["mended", "refused", *BAD]
    rows = {file: [counts[file, outcome] for outcome in outcomes] for file, _ in sorted(counts)}
    rows["all"] = np.sum(list(rows.values()), axis=0).tolist()
    return pd.DataFrame.from_dict(rows, orient="index", columns=outcomes).to_string()


if __name__ == "__main__":
    sys.exit(main())
