"""Power cuts in the middle of runs: nothing that was reported finished is lost, and the run ends with the same bytes.

    python tests/torture/power_cuts.py --count 20 --seed 0        # as root, on Linux

A run writes to a file system of its own, in a file, mounted through a loop device. At a random moment the file system
is shut down as by a power cut: what was written but has not reached the device is gone, entries of folders as well as
contents. It is mounted once more, and the same command is given again. A line a run; exit code 1 where something
reported was trained once more, the results differ, or something is left over.

`--without-sync` leaves out the syncs, to show that the cuts are real: then runs lose what they have reported.
"""

import argparse
import contextlib
import fcntl
import os
import random
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import kills

import plopkit.runs.experiment as experiment
from plopkit.support import durable

SHUT_DOWN = 0x8004587D
"""ioctl of ext4 and XFS: fail all that comes, as after a crash"""
WITHOUT_FLUSH = 2
"""its argument: drop what is in memory, the journal included"""
MEBIBYTES = 384
SYSTEMS = {
    "ext4": (["mkfs.ext4", "-q", "-F"], "noauto_da_alloc,data=writeback,commit=60"),
    "xfs": (["mkfs.xfs", "-q", "-f"], "defaults"),
}
"""How each is made, and the options with which it keeps as little as it may."""
EPOCH = re.compile(r"^step (\d+)/\d+ epoch (\d+)/\d+:", re.MULTILINE)


class Disk:
    """A file system in a file."""

    def __init__(self, folder: Path, system: str):
        self.image, self.mount, self.system = folder / "disk", folder / "mounted", system
        self.mount.mkdir()
        with self.image.open("wb") as file:
            file.truncate(MEBIBYTES * 2**20)
        make, self.options = SYSTEMS[system]
        subprocess.run([*make, str(self.image)], check=True)

    def connect(self) -> None:
        """Mount it; what its journal holds is replayed."""
        options = f"loop,{self.options}"
        subprocess.run(["mount", "-t", self.system, "-o", options, str(self.image), str(self.mount)], check=True)

    def cut(self) -> None:
        """Cut the power: from now on nothing reaches the device."""
        handle = os.open(self.mount, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, SHUT_DOWN, struct.pack("I", WITHOUT_FLUSH))
        finally:
            os.close(handle)

    def disconnect(self) -> None:
        """Unmount it, whatever state it is in."""
        for _ in range(50):
            if subprocess.run(["umount", str(self.mount)], capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        subprocess.run(["umount", "-l", str(self.mount)], check=True)


@contextlib.contextmanager
def disk(folder: Path, system: str) -> Iterator[Disk]:
    """A new one, which is unmounted at the end."""
    made = Disk(folder, system)
    made.connect()
    try:
        yield made
    finally:
        if os.path.ismount(made.mount):
            made.disconnect()


def words_of(method: str, out: Path) -> list[str]:
    """The command, which reports epochs and saves after every iteration."""
    case = kills.Case(method, 0, None, 1, signal.SIGKILL, "all")
    return [word for word in kills.flags_of(case, out) if word != "--quiet"]


def reported(log: Path) -> set[tuple[int, int]]:
    """The (step, epoch) of which the command has said that they are done."""
    text = log.with_suffix(".0").read_text(encoding="utf-8")
    return {(int(step), int(epoch)) for step, epoch in EPOCH.findall(text)}


class Losses:
    """What is trained once more after a cut, though it was reported or saved before."""

    def __init__(self) -> None:
        self.epochs: set[tuple[int, int]] = set()
        self.counted: list[tuple[int, int]] = []
        self.lost = self.iterations = 0

    def note(self, log: Path) -> None:
        """Compare what a command has reported with what those before it had."""
        self.lost += len(self.epochs & reported(log))
        self.iterations = max(self.iterations, kills.lost_by(self.counted, kills.iterations(log)))
        self.epochs |= reported(log)
        self.counted += kills.iterations(log)


def torture(words: list[str], folder: Path, made: Disk, moments: random.Random, cuts: int) -> tuple[int, Losses, str]:
    """Cut the power up to `cuts` times, then let the run end; also returns the number of cuts and wrong exit codes."""
    log, done, losses = folder / "log", 0, Losses()
    while done < cuts:
        ids = kills.start(words, log, 1)
        if kills.wait_for(ids, log, moments.randint(1, kills.N_ITERATIONS // cuts)):
            break
        time.sleep(moments.random() * 0.2)
        made.cut()
        os.killpg(ids[0], signal.SIGKILL)
        kills.codes_of(ids)
        made.disconnect()
        made.connect()
        done += 1
        losses.note(log)
    codes = kills.codes_of(kills.start(words, log, 1))
    losses.note(log)
    return done, losses, " ".join(f"{code} at the end" for code in codes if code)


def undisturbed(method: str, folder: Path) -> dict[str, object]:
    """The files of a run whose power is never cut."""
    folder.mkdir()
    codes = kills.codes_of(kills.start(words_of(method, folder / "runs"), folder / "log", 1))
    if any(codes):
        sys.exit(f"the undisturbed run ended with {codes}:\n" + folder.joinpath("log.0").read_text())
    return kills.contents(folder / "runs")


def torment(args: argparse.Namespace, folder: Path) -> bool:
    """Cut the power of runs until there were enough cuts; whether all was well."""
    experiment.draw_pictures = lambda *_: None  # type: ignore[assignment]
    if args.without_sync:
        durable.sync = lambda path: None  # type: ignore[assignment]
    expected: dict[str, dict[str, object]] = {}
    moments, done, well = random.Random(args.seed), 0, True
    columns = "file system, method, cuts, epochs reported, of these lost, iterations lost, equal, litter, codes"
    print("|", columns.replace(", ", " | "), "|")
    print("|" + " --- |" * 9)
    number = 0
    while done < args.count:
        system = args.systems[number % len(args.systems)]
        method = args.methods[number // len(args.systems) % len(args.methods)]
        own = folder / f"case {number}"
        own.mkdir()
        if method not in expected:
            expected[method] = undisturbed(method, folder / method)
        with disk(own, system) as made:
            words = words_of(method, made.mount / "runs")
            cuts, losses, codes = torture(words, own, made, moments, min(args.cuts, args.count - done))
            equal, litter = kills.compared(made.mount / "runs", expected[method])
        fine = equal and not litter and not codes and not losses.lost and losses.iterations <= 1
        done, well, number = done + cuts, well and fine, number + 1
        cells = [system, method, cuts, len(losses.epochs), losses.lost, losses.iterations, "yes" if equal else "NO"]
        print("|", " | ".join(map(str, [*cells, litter, codes])), "|", flush=True)
        if fine:
            shutil.rmtree(own)
    print(f"\n{done} power cuts, seed {args.seed}: " + ("nothing reported was lost" if well else f"see {folder}"))
    return well


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=20, help="number of power cuts")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cuts", type=int, default=3, help="cuts in one run")
    parser.add_argument("--methods", nargs="+", default=list(kills.METHODS))
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=available())
    parser.add_argument("--without-sync", action="store_true", help="leave out the syncs: this must fail")
    return parser.parse_args()


def available() -> list[str]:
    """The file systems that can be made here."""
    return [name for name, (make, _) in SYSTEMS.items() if shutil.which(make[0])]


if __name__ == "__main__":
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not available() or not Path("/dev/loop-control").exists():
        sys.exit("power cuts need Linux, root, a loop device and mkfs.ext4 or mkfs.xfs")
    place = Path(tempfile.mkdtemp(prefix="power-cuts-"))
    if not torment(parsed(), place):
        sys.exit(1)
    shutil.rmtree(place)
