"""The lessons in a folder of one's own: copied without losing anything, and opened in JupyterLab."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from plopkit.support import resources
from plopkit.support.files import atomic_write, make_folder


class Copied(NamedTuple):
    """What became of each lesson."""

    new: list[Path]
    """were not there"""
    same: list[Path]
    """are those of this version already"""
    kept: list[Path]
    """differ from those of this version, and were left as they are"""


def lessons() -> list[Path]:
    """The notebooks of this version and the README beside them, in order.

    FileNotFoundError where the package came without them.
    """
    readme = resources.notebook("README.md")
    found = [path for path in readme.parent.glob("*.ipynb") if not path.name.endswith(".out.ipynb")]
    return [readme, *sorted(found)]


def copy_lessons(folder: Path) -> Copied:
    """Copy the lessons into ``folder``, which is made where it is missing. A file that differs is never overwritten.

    ValueError where ``folder`` is a file.
    """
    copied = Copied([], [], [])
    make_folder(folder)
    for lesson in lessons():
        path, text = folder / lesson.name, lesson.read_bytes()
        if not path.exists():
            with atomic_write(path) as part:
                part.write_bytes(text)
            copied.new.append(path)
        elif path.read_bytes() == text:
            copied.same.append(path)
        else:
            copied.kept.append(path)
    return copied


def told_of(copied: Copied, folder: Path) -> str:
    """What ``copy_lessons`` did to ``folder``, in words."""
    lines = [f"{folder}: {len(copied.new)} files copied, {len(copied.same)} there already"]
    if copied.kept:
        lines.append("yours differ from this version and stay as they are:")
        lines += [f"    {path}" for path in copied.kept]
        lines.append("For a fresh one, rename yours and give the same command again.")
    return "\n".join(lines)


def open_lab(folder: Path, flags: Sequence[str] = ()) -> None:
    """Open JupyterLab in ``folder``, with these flags of its own; comes back when it is shut down.

    ValueError where JupyterLab is not installed.
    """
    try:
        from jupyterlab.labapp import LabApp
    except ImportError as error:
        raise ValueError(
            f"JupyterLab is not there ({error}); the lessons lie in {folder}. "
            "Install it: python -m pip install 'plopkit[notebook]', or only copy: plopkit lessons --no-open"
        ) from error
    LabApp.launch_instance([str(folder), *flags])
