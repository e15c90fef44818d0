"""What made a run, kept in its folder's `origin.json` and compared before the run is continued or read back.

Noted for every step: the versions of plopkit, torch and Python, device, precision, processes, threads, date, and the
digest of the source (`plopkit.runs.sources`); several times where a step was resumed under other circumstances.

A changed source would give other results, finished or not. In a run that is not finished, the same holds for another
version of torch, another kind of device and another number of processes. Both need `force`. Everything else is only
noticed.
"""

import datetime
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from plopkit.runs.sources import Sources, changed, digest_of
from plopkit.support import seals
from plopkit.support.bars import notice
from plopkit.support.files import write_text
from plopkit.support.places import read_limited
from plopkit.support.printable import one_line
from plopkit.support.seals import DamagedError

if TYPE_CHECKING:
    import pandas as pd
    from accelerate import Accelerator

    from plopkit.settings import Settings

NAME = "origin.json"
LARGEST = 2**24
"""Bytes of the file; a step takes 400."""
ASKED = ("torch", "device", "processes")
"""What changes the numbers of a training that is continued."""
NOTICED = ("plopkit", "python", "device_name", "threads")
"""What may change their last digits, or nothing."""
UNKNOWN = "unknown"
MOST_MODULES = 6
"""Number of changed modules that an error names."""


class ChangedError(ValueError):
    """What made a run is not what would continue it."""


class _Plain(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class Origin(_Plain):
    """The circumstances under which a step, or a part of it, was trained."""

    plopkit: str
    torch: str
    python: str
    device: str
    """its kind: cpu, cuda, …"""
    device_name: str
    precision: str
    processes: int
    threads: int
    source: str
    """digest of the source of all that computes numbers"""
    date: str
    """in UTC"""

    def differences(self, now: "Origin", names: tuple[str, ...]) -> str:
        """What differs, in words; empty where nothing does."""
        pairs = [(name, getattr(self, name), getattr(now, name)) for name in names]
        differing = [f"{name.replace('_', ' ')} {old}, now {new}" for name, old, new in pairs if old != new]
        return ", ".join(differing)


class Forced(_Plain):
    """A change that the user has accepted."""

    date: str
    what: str


class Record(_Plain):
    """The content of `origin.json`."""

    last: Origin
    """those that worked on it last, or were accepted by force since"""
    steps: dict[int, tuple[Origin, ...]] = {}
    """by step; one that was trained before there was a record is missing"""
    sources: dict[str, Sources] = {}
    """the digests of the modules, by the digest of all of them"""
    forced: tuple[Forced, ...] = ()


def read_record(path: Path) -> Record:
    """Read what made a run, or a shared step 0.

    Raises:
        FileNotFoundError: there is no such file.
        DamagedError: it is damaged.
    """
    seals.check(path)
    try:
        return Record.model_validate_json(read_limited(path, LARGEST, "what made a run"))
    except ValidationError as error:
        raise DamagedError(path, f"not readable ({one_line(error.errors()[0]['msg'], 200)})") from None
    except ValueError as error:
        raise DamagedError(path, one_line(str(error).removeprefix(f"{path}: "), 200)) from None


def current(settings: "Settings", accelerator: "Accelerator", sources: Sources) -> Origin:
    """The circumstances of this process."""
    import torch

    import plopkit

    device = accelerator.device
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}"
    return Origin(
        plopkit=plopkit.__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        device=device.type,
        device_name=name,
        precision=settings.compute.precision,
        processes=accelerator.num_processes,
        threads=torch.get_num_threads(),
        source=digest_of(sources),
        date=_date(),
    )


class Origins:
    """Compares what made a run with what would go on with it, and writes down what does. The main process has one.

    Args:
        path: the run's `origin.json`.
        now: the circumstances of this process.
        sources: the digests of the modules that would compute the run.
        step_0: those that would train its step 0, which other methods may share.
        force: whether to go on with what is there in spite of a change.
    """

    def __init__(self, path: Path, now: Origin, sources: Sources, step_0: Sources, force: bool = False):
        self.path, self.now, self._sources, self._force = path, now, sources, force
        self._step_0 = now.model_copy(update={"source": digest_of(step_0)})
        self._known = {now.source: sources, self._step_0.source: step_0}
        self._accepted = ""

    def check(self, begun: bool, finished: bool) -> None:
        """Compare the run's record with now, and print a notice of what differs. Nothing is written.

        Args:
            begun: whether a step of the run is there, or a part of it.
            finished: whether the run is only read back.

        Raises:
            ChangedError: a change needs `force`.
        """
        record = self._read(self.path, begun)
        if record is None:
            return
        self._compare(self.path.parent, record, () if finished else ASKED)
        if not finished and (message := record.last.differences(self.now, NOTICED)):
            notice(f"{self.path.parent}: goes on with other circumstances than on {record.last.date}: {message}")

    def adopt(self) -> None:
        """Write the record where there is none yet, or a damaged one, and what `check` was forced to accept."""
        record = self._read(self.path)
        if record is None:
            self._write(self.path, Record(last=self.now))
        elif self._accepted:
            forced = (*record.forced, Forced(date=self.now.date, what=self._accepted))
            self._write(self.path, record.model_copy(update={"forced": forced, "last": self.now}))
            self._accepted = ""

    def begin(self, index: int, resumed: bool, shared: Path | None = None) -> None:
        """Note that a step is being trained.

        Args:
            index: the step.
            resumed: whether a part of it was trained before.
            shared: the record of the shared step 0, if this is one.

        Raises:
            ChangedError: another run has trained a part of a shared step 0 under other circumstances.
        """
        made = self._began(shared, index, resumed) if shared is not None else None
        self._began(self.path, index, resumed, made)
        self.adopt()  # what the shared step 0 was forced to accept

    def take(self, shared: Path, index: int = 0) -> None:
        """Note what made a shared step that another run has trained."""
        record, own = self._read(shared, True), self._read(self.path) or Record(last=self.now)
        if record is not None and index in record.steps:
            steps = own.steps | {index: record.steps[index]}
            self._write(self.path, own.model_copy(update={"steps": steps, "sources": own.sources | record.sources}))

    def _began(
        self, path: Path, index: int, resumed: bool, made: tuple[Origin, ...] | None = None
    ) -> tuple[Origin, ...]:
        """Note a step in one record; returns all that made the step so far."""
        is_shared = path != self.path
        now = self.now if index else self._step_0
        record = self._read(path, resumed) or Record(last=now)
        if is_shared and resumed:
            self._compare(path.parent, record, ASKED, source=False)  # another source has another shared step 0
        elif other := record.last.differences(self.now, ASKED):
            notice(f"{path.parent}: step {index} is trained under other circumstances than the last one: {other}")
        if made is None:
            made = record.steps.get(index, (_unknown(),)) if resumed else ()
            if not made or made[-1].model_copy(update={"date": now.date}) != now:
                made = (*made, now)
        last = now if is_shared else self.now
        self._write(path, record.model_copy(update={"steps": record.steps | {index: made}, "last": last}))
        return made

    def _compare(self, place: Path, record: Record, asked: tuple[str, ...], source: bool = True) -> None:
        """Compare with a record; what changes numbers is noted if forced, and else an error."""
        changes = []
        if source and record.last.source != self.now.source:
            modules = changed(record.sources.get(record.last.source, {}), self._sources)
            more = f" and {len(modules) - MOST_MODULES} more" if len(modules) > MOST_MODULES else ""
            changes.append(f"the source of its method has changed ({', '.join(modules[:MOST_MODULES])}{more})")
        if differing := record.last.differences(self.now, asked):
            changes.append(f"it would go on with other circumstances, which change its numbers ({differing})")
        if not changes:
            return
        words = " and ".join(changes)
        if not self._force:
            other = "name or out" if source else "out"  # a shared step 0 is the same for every name
            raise ChangedError(
                f"{place}: made on {record.last.date}, and since then {words}. Choose another {other} for a new run, "
                "or delete this folder, or go on with what is there by --force (in Python force=True)"
            )
        notice(f"{place}: made on {record.last.date}; {words}; goes on with what is there, as forced")
        self._accepted = words

    def _read(self, path: Path, needed: bool = False) -> Record | None:
        """A record; None where it is missing or damaged, which a notice says if it is needed."""
        try:
            return read_record(path)
        except FileNotFoundError:
            problem = "missing"
        except DamagedError as error:
            problem, needed = error.problem, needed or path == self.path
        if needed:
            notice(
                f"{path}: {problem}: nothing says what made the steps that are there, and whether the source of the "
                "method is still the same; they are taken as they are, and from now on it is written down"
            )
        return None

    def _write(self, path: Path, record: Record) -> None:
        sources = record.sources | self._known
        used = {record.last.source, *(origin.source for step in record.steps.values() for origin in step)}
        record = record.model_copy(update={"sources": {name: sources[name] for name in sorted(used & sources.keys())}})
        write_text(path, record.model_dump_json(indent=1) + "\n", seal=True)


def made_by_this_source(path: Path, sources: Sources) -> bool:
    """Whether a record names this source, or there is none that says otherwise."""
    try:
        return read_record(path).last.source == digest_of(sources)
    except (FileNotFoundError, NotADirectoryError, DamagedError):
        return True


def made_by(path: Path, n_steps: int | None = None) -> "pd.DataFrame":
    """A row per step and circumstances under which it was trained; empty where nothing is known.

    Args:
        path: an `origin.json`.
        n_steps: only the first steps; None for all.

    Raises:
        DamagedError: it is damaged.
    """
    import pandas as pd

    record = read_record(path) if path.is_file() else None
    steps = sorted(record.steps.items()) if record else []
    rows = [
        {"step": index} | origin.model_dump()
        for index, origins in steps
        if n_steps is None or index < n_steps
        for origin in origins
    ]
    return pd.DataFrame(rows, columns=["step", *Origin.model_fields])


def _unknown() -> Origin:
    texts = {name: UNKNOWN for name in Origin.model_fields if name not in ("processes", "threads")}
    return Origin(**texts, processes=0, threads=0)


def _date() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(" ", "seconds").removesuffix("+00:00") + " UTC"
