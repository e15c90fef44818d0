"""The lessons in the user's own folder: copied without overwriting anything, and opened in JupyterLab."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plopkit.support import resources
from plopkit.support.files import atomic_write, make_folder
from plopkit.support.places import expanded


class Copied(NamedTuple):
    """The files in the user's folder, by what `copy_lessons` did."""

    new: list[Path]
    """Did not exist and were copied."""
    same: list[Path]
    """Are already those of this version."""
    kept: list[Path]
    """Differ from this version and were left as they are."""


def lessons() -> list[Path]:
    """The README and the notebooks of this version, in order.

    Raises:
        FileNotFoundError: The package was installed without them.
    """
    readme = resources.notebook("README.md")
    notebooks = [path for path in readme.parent.glob("*.ipynb") if not path.name.endswith(".out.ipynb")]
    return [readme, *sorted(notebooks)]


def copy_lessons(folder: Path) -> Copied:
    """Copy the lessons into a folder, which is made if necessary. A file that differs is never overwritten.

    Raises:
        ValueError: `folder` is a file.

    Example:
        >>> print(summary_of(copy_lessons(Path("plopkit-lessons")), Path("plopkit-lessons")))
        plopkit-lessons: 11 files copied, 0 already up to date
    """
    copied, folder = Copied([], [], []), expanded(folder)
    make_folder(folder)
    for lesson in lessons():
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


def summary_of(copied: Copied, folder: Path) -> str:
    """What `copy_lessons` did, in words."""
    lines = [f"{folder}: {len(copied.new)} files copied, {len(copied.same)} already up to date"]
    if copied.kept:
        lines.append("These files differ from this version and were not overwritten:")
        lines += [f"    {path}" for path in copied.kept]
        lines.append("To get the new version of a file, rename yours and run the same command again.")
    return "\n".join(lines)


def open_lab(folder: Path, arguments: Sequence[str] = ()) -> None:
    """Open JupyterLab in a folder, and wait until it is shut down.

    Args:
        folder: Where it opens.
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
    LabApp.launch_instance([str(folder), *arguments])
