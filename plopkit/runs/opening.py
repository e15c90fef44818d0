"""How a run's folder is made, or opened again: only by the settings and the data that it is made from."""

import hashlib
import shutil
import tempfile
from pathlib import Path

from plopkit.runs.folder import RunFolder
from plopkit.runs.images import changes, words_of
from plopkit.settings import Settings, flat, from_yaml, to_yaml
from plopkit.support import seals
from plopkit.support.bars import notice
from plopkit.support.files import write_text
from plopkit.support.printable import one_line
from plopkit.support.seals import DamagedError

NEW = "new"
"""Why a file has to be written that was never there."""


def open_folder(settings: Settings, data: str, earlier: str = "", images: str = "") -> RunFolder:
    """Make a run's folder, or open the one that is there; what is lost of settings and data is written again.

    Args:
        settings: settings of the run.
        data: says which images and checkpoints the run is made from.
        earlier: what an earlier version would have written as ``data``; then ``data`` is written.
        images: the images one by one, as `plopkit.runs.images.images_text` gives them.

    Raises:
        ValueError: where other settings or other data made the folder, or it is not a run's.
    """
    folder = RunFolder(settings.folder())
    settings_lost = _lost_settings(folder, settings)
    data_lost = _lost_data(folder, data, settings_lost == NEW, earlier, images, settings.data.root)
    for path, text, lost in (
        (folder.data_file, data, data_lost),
        (folder.images_file, images, _lost_images(folder, images)),
        (folder.settings_file, to_yaml(settings), settings_lost),
    ):
        if lost:
            if lost != NEW:
                notice(f"{path}: {lost}; written again")
            write_text(path, text, seal=True)
    return folder


def _lost_settings(folder: RunFolder, settings: Settings) -> str:
    """Why the settings have to be written: "" where they are there, and those of this run.

    The name of a folder holds a digest of the settings, unless the user has named it. The seal knows the settings, too.
    """
    path = folder.settings_file
    if path.is_file():
        try:
            differing, problem = _differences(from_yaml(path), settings), "damaged"
        except ValueError as error:
            problem = one_line(str(error).removeprefix(f"{path}: ").partition(";")[0], 300)  # without the remedy
        else:
            if not differing:
                return "" if seals.is_intact(path) else "damaged, or its seal is"
            if seals.is_intact(path) and settings.name is not None:
                raise ValueError(
                    f"{folder.path}: made with other settings: {differing}. Choose another name or out, or delete it"
                )
    elif _is_begun(folder):
        problem = "missing"
    else:
        return NEW
    known = seals.sealed_digests(path)
    if settings.name is None or hashlib.sha256(to_yaml(settings).encode()).hexdigest() in known:
        return problem
    raise DamagedError(
        path,
        problem,
        "repeat the command with exactly the settings that made this run, put back a copy of the file, or choose "
        "another name or out",
    )


def _is_begun(folder: RunFolder) -> bool:
    """Whether a folder without settings is a run's; ValueError where it holds something else."""
    if not folder.path.is_dir():
        return False
    # Alone, or half written: the disk was full, or the power failed, before settings.yaml was written.
    whole = (folder.data_file.name, folder.images_file.name, folder.lock_file.name)
    leftovers = (*whole, ".data.txt.*", ".images.csv.*", ".settings.yaml.*", ".*.part")
    if all(any(map(path.match, leftovers)) for path in folder.path.iterdir()):
        return False
    if not any(path.exists() for path in (folder.data_file, seals.seal_file(folder.data_file), folder.checkpoints)):
        raise ValueError(f"{folder.path}: not empty, and not a run's folder; choose another name or out")
    return True


def _lost_data(folder: RunFolder, data: str, is_new: bool, earlier: str, images: str, root: Path | None) -> str:
    """Why `data.txt` has to be written: "" where it is there, and says the same."""
    path = folder.data_file
    recorded = path.read_bytes().decode(errors="replace").split() if path.is_file() else []
    if recorded == data.split():
        return "" if seals.is_intact(path) else "its seal is damaged"
    if is_new or (recorded and recorded == earlier.split() and seals.is_intact(path)):
        return NEW
    problem = "damaged" if recorded else "missing"
    if hashlib.sha256(data.encode()).hexdigest() in seals.sealed_digests(path):
        return problem
    if recorded and seals.is_intact(path):
        same_images = recorded[:2] == data.split()[:2]
        if same_images:
            changed = "the checkpoints are not those of this run"
        else:
            changed = "the images or masks have changed since this run was made"
            if (made := folder.settings.data.root) != root:
                changed = f"this folder is the run on {made}, and {root} holds other images or masks"
            if words := words_of(changes(folder.images_file, images)):
                changed += f" ({words})"
        raise ValueError(f"{folder.path}: {changed}; choose another name or out, or delete it{_go_on(folder)}")
    raise DamagedError(
        path,
        f"{problem}, so that nothing says whether the images are still those of this run",
        f"if they are, write this line to it: {data.strip()} - otherwise choose another name or out",
    )


def _lost_images(folder: RunFolder, images: str) -> str:
    """Why `images.csv` has to be written: "" where it is there, or no image is known by itself."""
    path = folder.images_file
    if not images or (path.is_file() and path.read_bytes() == images.encode()):
        return ""
    return NEW


def _go_on(folder: RunFolder) -> str:
    """How to go on with other images from what a run has learnt; "" where its step 0 is not finished."""
    if not (folder.checkpoints / "step-0.safetensors").is_file():
        return ""
    start = f"start.checkpoint {folder.path} and start.step 0 (--from and --from-step)"
    return f", or go on from its finished step 0 with the images that are there now: {start}"


def _differences(recorded: Settings, settings: Settings) -> str:
    """The settings that decide a run's numbers and differ; empty where none does."""
    if not recorded.model.digest and recorded.model.weights == settings.model.weights:  # an earlier version's
        model = recorded.model.model_copy(update={"digest": settings.model.digest})
        recorded = recorded.model_copy(update={"model": model})
    before, now = flat(recorded.identity()), flat(settings.identity())
    differing = sorted(name for name in {**before, **now} if before.get(name) != now.get(name))
    return "; ".join(f"{name} was {before.get(name)!r}, and is now {now.get(name)!r}" for name in differing)


def check_room(settings: Settings, needed: int) -> None:
    """Check, before any work, that ``out`` can be written and has enough space.

    Args:
        settings: settings of the run.
        needed: bytes of the whole run; what its folder holds already is subtracted.

    Raises:
        OSError: where ``out`` is not writable or lacks space.
    """
    out = settings.out
    needed -= sum(path.stat().st_size for path in settings.folder().rglob("*") if path.is_file())
    try:
        out.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=out).close()  # has no name that a killed process could leave
    except OSError as error:
        raise type(error)(
            f"{out}: cannot be written ({error.strerror or error}); choose another folder with out"
        ) from None
    free = shutil.disk_usage(out).free
    if free < needed:
        raise OSError(
            f"{out}: {free // 2**20:,} MiB are free, this run needs about {-(-needed // 2**20):,} MiB; "
            "free disk space, or choose another folder with out"
        )
