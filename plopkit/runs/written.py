"""Which folder a run writes to: its own, or the one in which it continues since its list of images has grown.

Only the run itself opens its images, and finds out. It notes the folder below `Settings.out`, where a grid, a notebook
and whoever else shows a run look it up.
"""

from pathlib import Path

from plopkit.runs.folder import RunFolder
from plopkit.settings import Settings
from plopkit.support.files import write_text
from plopkit.support.places import read_limited

GROWN = ".grown"
"""The folder of the notes, below `Settings.out`: a file per run that continues in another folder, with its name."""
LONGEST_NAME = 2**12
"""Bytes of a note."""


def grown_name(folder: Path, images: str) -> str:
    """The name of the folder in which a run continues with more images, of which `images` is a digest."""
    return f"{_beginning(folder)}{images}"


def folder_of(settings: Settings) -> RunFolder:
    """The folder that a run with these settings writes to, finished or not; it may not exist yet.

    Args:
        settings: as the run has them, with `plopkit.runs.start.with_start` where it begins with a checkpoint.
    """
    own = settings.folder()
    try:
        name = read_limited(_note(own), LONGEST_NAME, "the name of a folder").decode().strip()
    except (OSError, ValueError):  # the run itself looks at its images, and writes the note again
        return RunFolder(own)
    is_plain = Path(name).name == name and name.startswith(_beginning(own))
    return RunFolder(own.with_name(name) if is_plain else own)


def note_folder(settings: Settings, folder: Path) -> None:
    """Note which folder a run with these settings writes to."""
    own = settings.folder()
    if folder == own:
        _note(own).unlink(missing_ok=True)
    elif folder_of(settings).path != folder:
        write_text(_note(own), f"{folder.name}\n")


def _note(own: Path) -> Path:
    return own.parent / GROWN / f"{own.name}.txt"


def _beginning(own: Path) -> str:
    return f"{own.name}_grown_"
