"""How far a run is, read from its folder: what its process prints is not needed."""

from contextlib import nullcontext
from typing import NamedTuple

from filelock import FileLock, Timeout

from plopkit.grids.plan import PlannedRun
from plopkit.presets import method_of
from plopkit.runs.artifacts import LAST_PICTURE
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.folder import RunFolder
from plopkit.runs.origin import made_by_this_source
from plopkit.runs.sources import sources_of
from plopkit.runs.step_0 import shared_step_0


class Place(NamedTuple):
    """How far a run is, as its files say. A later place is larger."""

    evaluated: int = 0
    """steps with results"""
    trained: int = 0
    """steps with a checkpoint"""
    epoch: int = 0
    """finished epochs of the step under way, as far as they are saved"""
    batch: int = 0
    """batches of the next epoch"""


class Scores(NamedTuple):
    """mIoU in percent after the last step that has results; None where there is none."""

    old: float | None = None
    new: float | None = None
    all: float | None = None


def place_of(run: PlannedRun) -> Place:
    """How far a run is.

    Raises:
        DamagedError: its results are damaged; the run makes them again.
    """
    folder = run.folder
    evaluated = folder.evaluated()
    trained = evaluated
    while trained < run.n_steps and StepStore(folder.checkpoints, trained).checkpoint.is_file():
        trained += 1
    if trained == run.n_steps:
        return Place(evaluated, trained)
    store = StepStore(folder.checkpoints, trained)
    if trained == 0 and folder.data_file.is_file():
        store = shared_step_0(
            run.settings, run.scenario, method_of(run.settings), run.splits[0], run.image_fingerprints[0]
        )
    return Place(evaluated, trained, *store.training.last_place())


def is_finished(run: PlannedRun) -> bool:
    """Whether a run has all its results and pictures, made with these settings, from these images and by this source.

    Its checkpoints are not looked at: `plopkit run` does, and mends them; it also refuses what another source has made.
    """
    own, folder, method = RunFolder(run.settings.folder()), run.folder, method_of(run.settings)
    if not made_by_this_source(folder.origin_file, sources_of(type(method), type(method.first_step()))):
        return False
    try:
        same = own.settings_file.is_file() and own.settings.identity() == run.settings.identity()
        return (
            same
            and _is_of_images(folder, run)
            and folder.evaluated() == run.n_steps
            and (folder.pictures / LAST_PICTURE).is_file()
        )
    except (ValueError, FileNotFoundError):  # damaged or gone: the run mends it, or says why not
        return False


def _is_of_images(folder: RunFolder, run: PlannedRun) -> bool:
    """Whether a folder was made from the images as they are now, wherever they are."""
    if not folder.data_file.is_file():
        return False
    made_from = folder.data_file.read_text(encoding="utf-8", errors="replace").split()[:2]
    return made_from == run.image_fingerprints


def is_busy(run: PlannedRun) -> bool:
    """Whether a process is working on a run: of another grid, or one that a grid which was killed has left."""
    try:
        with FileLock(run.folder.lock_file, timeout=0) if run.folder.lock_file.exists() else nullcontext():
            return False
    except Timeout:
        return True
    except (OSError, NotImplementedError):  # cannot be locked here; the run says so
        return False


def words_of(run: PlannedRun, place: Place) -> str:
    """A place in words, such as "step 1/5, epoch 2/30"; epochs count from 1, as in the progress of `plopkit run`."""
    step = min(place.evaluated, run.n_steps - 1)
    where = f"step {step}/{run.n_steps - 1}"
    if place.evaluated == run.n_steps:
        return "pictures"
    if place.trained > place.evaluated:
        return f"{where}, evaluation"
    schedule = method_of(run.settings).schedule(run.settings.optim, run.scenario.steps[step])
    if schedule.min_iterations:  # how many epochs these take is known only where the images are open
        return f"{where}, epoch {place.epoch + 1}"
    return f"{where}, epoch {min(place.epoch + 1, schedule.epochs)}/{schedule.epochs}"


def scores_of(run: PlannedRun) -> Scores:
    """The run's mIoU so far."""
    folder = run.folder
    if not folder.evaluated():
        return Scores()
    last = folder.first_steps(folder.evaluated()).summary.iloc[-1]
    return Scores(*(None if last[name] != last[name] else float(last[name]) for name in Scores._fields))
