"""What is damaged in a run's folder, and how it is mended: removed, so that the run makes it again.

Everything in the folder comes from something else in it. Tables, examples and pictures come from the checkpoints; a
step's checkpoint, state and ticks come from training it, from the checkpoint of the step before. A step that is damaged
is removed as a whole, and so are the results from this step on, which are computed again. Later steps stay if the step
comes out the same: their checkpoints name the one that they were trained from.
"""

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from plopkit.grammar import has_domains
from plopkit.runs.books import ticks_of_table, write_ticks
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.folder import RunFolder, read_arrays
from plopkit.runs.sharing import STEP_0
from plopkit.runs.step_files import save_ticks
from plopkit.runs.tables import first_rows
from plopkit.support import seals
from plopkit.support.appending import remove_appended, replace_text
from plopkit.support.bars import notice
from plopkit.support.files import disk_error, has_partial_files, remove_partial_files
from plopkit.support.seals import DamagedError


class Repair(NamedTuple):
    """Something to mend."""

    notice: str
    """the notice; empty where it follows from another repair"""
    do: Callable[[], None]
    cause: DamagedError | None = None
    """what is damaged; None where it follows from another repair"""


@contextlib.contextmanager
def mended(folder: RunFolder, n_steps: int, out: Path) -> Iterator[None]:
    """Lock the folder and remove what is damaged in it, so that it is made again. An untouched one stays unlocked.

    Args:
        folder: the run's folder.
        n_steps: number of the scenario's steps.
        out: the folder of all runs, in which partial files of killed processes are removed as well.

    Raises:
        ValueError: where another process is working on this run.
    """
    remove_partial_files(out, below=False)
    remove_partial_files(out / STEP_0)
    if is_untouched(folder, n_steps):
        yield
        return
    with folder.locked():
        for repair in list(find_repairs(folder, n_steps)):
            if repair.notice:
                notice(repair.notice)
            try:
                repair.do()
            except OSError as error:
                raise disk_error(folder.path, error, action="mended") from error
        yield


def is_untouched(folder: RunFolder, n_steps: int) -> bool:
    """Whether a run is finished, and nothing in its folder is damaged or left by a killed process."""
    try:
        finished = folder.evaluated() == n_steps
    except ValueError:
        return False
    notes = any(folder.path.glob(".*.appending"))
    return finished and not notes and not has_partial_files(folder.path) and not list(find_repairs(folder, n_steps))


def check_whole(folder: RunFolder, n_steps: int) -> None:
    """DamagedError, about the first file, where a finished run would have to be mended."""
    for repair in find_repairs(folder, n_steps):
        if repair.cause is not None:
            raise repair.cause


def find_repairs(folder: RunFolder, n_steps: int) -> Iterator[Repair]:
    """What has to be mended in a run's folder, in this order. No other process may work on the run.

    Args:
        folder: the run's folder.
        n_steps: number of the scenario's steps.
    """
    results = _read(folder.results_file, lambda: folder.results)
    n_evaluated = 0 if isinstance(results, DamagedError) else int(results["step"].max()) + 1
    if isinstance(results, DamagedError) and results.path.exists():
        yield _made_again(results, " from the checkpoints")
    ticks = _read(folder.ticks_file, lambda: folder.ticks)
    damaged = dict(_damaged_steps(folder, n_steps, n_evaluated))
    for store in [store for store in damaged if damaged[store].path == store.ticks_file]:
        if store.index < n_evaluated and not isinstance(ticks, DamagedError):
            cause = damaged.pop(store)
            yield Repair(
                f"{cause.path}: {cause.problem}; made again from {folder.ticks_file.name}",
                partial(save_ticks, store.ticks_file, ticks_of_table(ticks, store.index)),
                cause,
            )
    n_kept = min([n_evaluated, *(store.index for store in damaged)])
    if n_evaluated:
        summary = _read(folder.summary_file, lambda: folder.summary)
        if isinstance(summary, DamagedError):
            yield _made_again(summary)
            if n_evaluated == n_steps:  # its last row has digits that results.csv lacks
                n_kept = min(n_kept, n_steps - 1)
        if isinstance(ticks, DamagedError):
            yield _made_again(ticks)
            if n_kept == n_steps:  # otherwise the next step writes it
                yield Repair("", partial(_write_ticks, folder, n_steps))
        if has_domains(str(folder.results["scenario"].iloc[0])):
            by_domain = _read(folder.domains_file, lambda: folder.domains)
            if isinstance(by_domain, DamagedError):
                yield _made_again(by_domain, " from the checkpoints")
                n_kept = 0
    yield from _damaged_files(folder, n_kept)
    if n_kept < n_evaluated:
        for picture in sorted(folder.pictures.glob("*.png")):
            yield Repair("", partial(seals.remove, picture))
        yield Repair("", partial(_keep_results, folder, n_kept))  # before the steps: without it they are unfinished
    for store, cause in damaged.items():
        source = f" from step {store.index - 1}" if store.index else ""
        words = f"{cause.path}: {cause.problem}; step {store.index} is trained again{source}"
        yield Repair(words, store.discard, cause)


def missing_examples(folder: RunFolder, n_steps: int) -> list[int]:
    """The finished steps whose examples are missing; step 0 where the images are."""
    missing = set(range(n_steps)) - set(folder.predicted_steps())
    if not folder.examples_file.is_file():
        missing |= {0} if n_steps else set()
    elif missing and seals.is_intact(folder.examples_file):  # earlier versions kept all predictions in this file
        with contextlib.suppress(DamagedError):
            missing -= set(range(len(read_arrays(folder.examples_file).get("predictions", ()))))
    return sorted(missing)


def _read(path: Path, read: Callable[[], pd.DataFrame]) -> pd.DataFrame | DamagedError:
    """A table, or what is wrong with it."""
    try:
        return read()
    except DamagedError as error:
        return error
    except FileNotFoundError:
        return DamagedError(path, "missing")


def _damaged_steps(folder: RunFolder, n_steps: int, n_evaluated: int) -> Iterator[tuple[StepStore, DamagedError]]:
    """Steps that are there, or were, and cannot be used."""
    stores = [StepStore(folder.checkpoints, index) for index in range(n_steps)]
    n_begun = max([n_evaluated, *(store.index + 1 for store in stores if store.checkpoint.is_file())])
    before: str | None = None
    for store in stores[:n_begun]:
        problem = store.problem(before) if store.checkpoint.is_file() else (store.checkpoint, "missing")
        if problem is not None:
            yield store, DamagedError(*problem)
        before = store.identity() if problem is None or problem[0] == store.ticks_file else None


def _damaged_files(folder: RunFolder, n_steps: int) -> Iterator[Repair]:
    """Examples and pictures that are damaged, and examples that are missing."""
    examples = [folder.examples_file, *(folder.predictions_file(index) for index in folder.predicted_steps())]
    for path in [*examples, *sorted(folder.pictures.glob("*.png"))]:
        if path.is_file() and not seals.is_intact(path):
            yield _made_again(DamagedError(path, "damaged"))
    for index in missing_examples(folder, n_steps):
        path = folder.predictions_file(index)
        missing = path if not path.is_file() else folder.examples_file
        yield Repair(f"{missing}: missing; made again", lambda: None, DamagedError(missing, "missing"))


def _made_again(cause: DamagedError, source: str = "") -> Repair:
    return Repair(f"{cause.path}: {cause.problem}; made again{source}", partial(remove_appended, cause.path), cause)


def _write_ticks(folder: RunFolder, n_steps: int) -> None:
    write_ticks(folder, n_steps, lambda index: StepStore(folder.checkpoints, index).ticks())


def _keep_results(folder: RunFolder, n_steps: int) -> None:
    """Keep the results of the first steps only."""
    if n_steps:
        replace_text(folder.results_file, first_rows(folder.results_file, n_steps))
    else:
        remove_appended(folder.results_file)
