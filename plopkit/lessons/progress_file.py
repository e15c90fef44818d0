"""Which exercises are right, kept in a file next to the notebooks, so that a new kernel knows."""

import html
import json
from dataclasses import dataclass
from pathlib import Path

from plopkit.support.files import write_text
from plopkit.support.kernels import is_interactive

NAME = ".progress.json"
"""The file, in the folder that the kernel runs in."""


@dataclass(frozen=True, repr=False)
class Progress:
    """The exercises that are right, of all."""

    right: tuple[str, ...]
    """Names, such as "03.1" and "03.pool", in order."""
    exercises: tuple[str, ...]
    """All names, in order."""
    note: str = ""
    """What is wrong with the file; empty if nothing is."""

    @property
    def next(self) -> str | None:
        """The first exercise that is not right yet."""
        return next((name for name in self.exercises if name not in self.right), None)

    def __str__(self) -> str:
        rest = f"; next: {self.next}" if self.right and self.next else ""
        text = f"{len(self.right)} of {len(self.exercises)} exercises right{rest}."
        return f"{text} {self.note}".strip()

    __repr__ = __str__

    def _repr_html_(self) -> str:
        bar = f'<progress value="{len(self.right)}" max="{len(self.exercises)}" aria-label="progress"></progress>'
        return f"<div>{bar} {html.escape(str(self))}</div>"


def read(exercises: tuple[str, ...], folder: Path) -> Progress:
    """The progress that the folder's file holds. A damaged file counts as empty, with a note."""
    path, note = folder / NAME, ""
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["right"]
        kept = {name for name in names if isinstance(name, str)}
    except FileNotFoundError:
        kept = set()
    except (OSError, ValueError, TypeError, KeyError) as error:
        kept, note = set(), f"({path} cannot be read, so counting begins again: {type(error).__name__}.)"
    return Progress(tuple(name for name in exercises if name in kept), exercises, note)


def record(name: str, exercises: tuple[str, ...], folder: Path) -> Progress:
    """Add an exercise to those that are right. Where the file cannot be written, the note says so."""
    before = read(exercises, folder)
    right = tuple(known for known in exercises if known in {*before.right, name})
    after = Progress(right, exercises, before.note)
    if after == before and not before.note:
        return before
    try:
        write_text(folder / NAME, json.dumps({"right": right}, indent=1) + "\n")
    except OSError as error:
        return Progress(right, exercises, f"(This is not kept: {error}.)")
    return after


def counted(name: str, exercises: tuple[str, ...]) -> str:
    """Note a right answer where a person gave it, and say how many are right; otherwise nothing happens."""
    return f" {record(name, exercises, Path())}" if is_interactive() else ""
