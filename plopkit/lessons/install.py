"""The lessons in the user's own folder: copied without overwriting anything, and opened in JupyterLab."""

import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from plopkit.presets import method_of, open_scenario
from plopkit.runs.folder import RunFolder
from plopkit.runs.mending import check_whole
from plopkit.runs.origin import made_by_this_source
from plopkit.runs.results import run_folders
from plopkit.runs.sources import sources_of
from plopkit.support import resources
from plopkit.support.files import atomic_write, make_folder
from plopkit.support.places import expanded

BESIDE = ("README.md", "glossary.md", "measurements.md", "handout.pdf", "handout.svg")
"""What students get with the notebooks."""
FOR_TEACHERS = ("TEACHERS.md",)
"""What teachers get as well: plans, answers, and what to expect."""
RUNS = "runs"
"""The lessons' folder of runs, next to the notebooks."""


class Copied(NamedTuple):
    """The files in the user's folder, by what `copy_lessons` did."""

    new: list[Path]
    """Did not exist and were copied."""
    same: list[Path]
    """Are already those of this version."""
    kept: list[Path]
    """Differ from this version and were left as they are."""


def lessons(teacher: bool = False) -> list[Path]:
    """The files of this version: what is next to the notebooks, then the notebooks in order.

    Args:
        teacher: Whether the teacher's guide is among them.

    Raises:
        FileNotFoundError: The package was installed without them.
    """
    others = [resources.notebook(name) for name in (*BESIDE, *(FOR_TEACHERS if teacher else ()))]
    notebooks = [path for path in others[0].parent.glob("*.ipynb") if not path.name.endswith(".out.ipynb")]
    return [*others, *sorted(notebooks)]


def copy_lessons(folder: Path, teacher: bool = False) -> Copied:
    """Copy the lessons into a folder, which is made if necessary. A file that differs is never overwritten.

    Args:
        folder: Where to.
        teacher: Whether the teacher's guide is copied as well.

    Raises:
        ValueError: `folder` is a file.

    Example:
        >>> print(summary_of(copy_lessons(Path("plopkit-lessons")), Path("plopkit-lessons")))
        plopkit-lessons: 18 files copied, 0 already up to date
    """
    copied, folder = Copied([], [], []), expanded(folder)
    make_folder(folder)
    for lesson in lessons(teacher):
        path, content = folder / lesson.name, lesson.read_bytes()
        if not path.exists():
            with atomic_write(path) as part:
                part.write_bytes(content)
            copied.new.append(path)
        elif path.read_bytes() == content:
            copied.same.append(path)
        else:
            copied.kept.append(path)
    return copied


class CopiedRuns(NamedTuple):
    """Runs, by what `copy_runs` did."""

    new: list[Path]
    """Were copied."""
    there: list[Path]
    """Have a folder of this name already, which was left as it is."""
    unfinished: list[Path]
    """Are not finished, and were not copied."""
    other: list[Path]
    """Were made by another source of their method, which the lessons refuse to read, and were not copied."""
    unusable: list[tuple[Path, str]]
    """Are damaged, or of a method or data set that is not known here, each with the reason; were not copied."""


def copy_runs(sources: Iterable[Path], folder: Path) -> CopiedRuns:
    """Copy finished runs into the lessons' folder, where the lessons read them back in place of training.

    A run that is there already is left as it is, and what is copied appears as a whole or not at all. A run that
    nobody could read back, such as a damaged one, is left out.

    Args:
        sources: Run folders, or folders that hold some.
        folder: The lessons' folder.

    Raises:
        FileNotFoundError: No run is in or below `sources`.
    """
    copied, target = CopiedRuns([], [], [], [], []), expanded(folder) / RUNS
    make_folder(target)
    for run in run_folders(sources, strict=False):
        place = target / run.name
        try:
            fate = _fate(RunFolder(run), place)
        except (ValueError, OSError) as error:
            copied.unusable.append((run, str(error)))
            continue
        getattr(copied, fate).append(run)
        if fate == "new":
            _copy_run(run, place)
    return copied


def _fate(own: RunFolder, place: Path) -> Literal["new", "there", "unfinished", "other"]:
    """What becomes of a run: the list of `CopiedRuns` that it belongs to.

    Raises:
        ValueError: Something in its folder is damaged, or its method or data set is not known.
        OSError: A file is missing, or cannot be read.
    """
    n_steps = len(open_scenario(own.settings).steps)
    if own.evaluated() < n_steps:
        return "unfinished"
    method = method_of(own.settings)
    if not made_by_this_source(own.origin_file, sources_of(type(method), type(method.first_step()))):
        return "other"
    if place.exists():
        return "there"
    check_whole(own, n_steps)
    return "new"


def _copy_run(run: Path, place: Path) -> None:
    part = place.with_name(f".{run.name}.part")
    shutil.rmtree(part, ignore_errors=True)  # of a copy that was interrupted
    shutil.copytree(run, part, ignore=shutil.ignore_patterns(RunFolder(run).lock_file.name))
    os.replace(part, place)


def summary_of_runs(copied: CopiedRuns, folder: Path) -> str:
    """What `copy_runs` did, in words."""
    lines = [f"{folder / RUNS}: {(n := len(copied.new))} run{'s' * (n != 1)} copied, {len(copied.there)} already there"]
    if copied.unfinished:
        lines.append("These runs are not finished and were not copied:")
        lines += [f"    {path}" for path in copied.unfinished]
    lines += [
        f"{path}: not copied: made by another version of plopkit or of its method, so that the lessons would not read "
        "it back; train it again with this version, in a new folder"
        for path in copied.other
    ]
    lines += [f"{path}: not copied: {reason}" for path, reason in copied.unusable]
    return "\n".join(lines)


def summary_of(copied: Copied, folder: Path) -> str:
    """What `copy_lessons` did, in words."""
    lines = [f"{folder}: {len(copied.new)} files copied, {len(copied.same)} already up to date"]
    if copied.kept:
        lines.append("These files differ from this version and were not overwritten:")
        lines += [f"    {path}" for path in copied.kept]
        lines.append("To get the new version of a file, rename yours and run the same command again.")
    return "\n".join(lines)


def open_lab(folder: Path, arguments: Sequence[str] = ()) -> None:
    """Open JupyterLab in a folder, with the first lesson, and wait until it is shut down.

    Args:
        folder: The lessons' folder.
        arguments: Further command-line arguments of JupyterLab.

    Raises:
        ValueError: JupyterLab is not installed.
    """
    try:
        from jupyterlab.labapp import LabApp
    except ImportError as error:
        raise ValueError(
            f"JupyterLab is not installed ({error}); the lessons are in {folder}. "
            "Install what they need: python -m pip install ipykernel ipywidgets jupyterlab papermill, or copy "
            "the lessons only: plopkit lessons --no-open"
        ) from error
    first = next(path.name for path in lessons() if path.suffix == ".ipynb")
    LabApp.launch_instance([str(folder / first), *arguments])
