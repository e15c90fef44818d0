"""What every format is read as: classes, and pictures that can paint their masks."""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Integer

from plopkit.datasets.convert.shapes import Size
from plopkit.scenario import WIDE_IGNORE, ignored_id
from plopkit.support.printable import control_character, one_line, quoted

BACKGROUND = "background"
BACKGROUND_NAMES = ("background", "_background_", "__background__")
"""Names, in any case, under which tools list what is label 0 here."""
VOID_NAMES = ("void", "ignore", "ignored", "__ignore__", "unlabelled", "unlabeled")
"""Names, in any case, of pixels that are no class: ignored, or background by choice."""


class Notes:
    """What a conversion leaves out or decides: each kind with its number, and the first place."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[int, str]] = {}

    def add(self, what: str, where: object, count: int = 1) -> None:
        """Count something.

        Args:
            what: The kind, as a sentence without a number.
            where: The place.
            count: How many there are at this place.
        """
        before, first = self._found.get(what, (0, one_line(where)))
        self._found[what] = before + count, first

    def lines(self) -> list[str]:
        """A line per kind, in the order in which they were met."""
        return [f"{what}: {count:,} (the first: {first})" for what, (count, first) in self._found.items()]


class Labels(NamedTuple):
    """The numbers of the classes."""

    names: tuple[str, ...]
    """By label, background first."""
    by_name: Mapping[str, int]
    """The label of each name in the source."""

    @property
    def ignored(self) -> int:
        """The label of ignored pixels: 255, or 65535 where there are more than 254 classes."""
        return ignored_id(len(self.names))


class Canvas:
    """A mask that is being painted, all background at first; later shapes cover earlier ones.

    Args:
        size: Height and width.
        labels: The numbers of the classes.
        notes: For shapes that cover no pixel.
        where: The picture, in messages.
    """

    def __init__(self, size: Size, labels: Labels, notes: Notes, where: str):
        self.size, self.labels, self.notes, self.where = size, labels, notes, where
        self.mask = np.zeros(size, np.uint8 if labels.ignored < 256 else np.uint16)

    def paint(self, name: str, area: Bool[np.ndarray, "h w"]) -> None:
        """Give the pixels of an area the label of a class."""
        if not area.any():
            self.notes.add("shapes that cover no pixel, left out", self.where)
        self.mask[area] = self.labels.by_name[name]

    def ignore(self, area: Bool[np.ndarray, "h w"]) -> None:
        """Mark pixels as ignored."""
        self.mask[area] = self.labels.ignored

    def fill(self, indices: Integer[np.ndarray, "h w"], names: Sequence[str]) -> None:
        """Paint the whole mask from indices into a list of names; -1 is ignored."""
        table = np.array([*(self.labels.by_name[name] for name in names), self.labels.ignored], self.mask.dtype)
        self.mask = table[indices]


@dataclass(frozen=True)
class Picture:
    """A picture of the source with its annotation."""

    name: str
    """Its path or name in the source, from which the names of the written files are made."""
    image: Path | Callable[[], bytes]
    """Its file, or what gives the content of one."""
    where: str
    """Where the annotation is, for messages."""
    paint: Callable[[Canvas], None]
    """Paints the mask. Raises ValueError where a shape is damaged."""
    frame: Size | None = None
    """Height and width that the annotation is made for; None where it fits any."""
    split: str | None = None
    """"train", "val" or another word of the source; None where it has no splits."""
    is_empty: bool = False
    """Whether nothing is annotated, so that all is background."""


@dataclass(frozen=True)
class Annotated:
    """A source that has been read."""

    classes: tuple[str, ...]
    """Names in the order of the source's categories, or of their first appearance."""
    pictures: tuple[Picture, ...]
    notes: Notes


@dataclass
class ClassNames:
    """Class names in the order of their first appearance, in one Unicode form."""

    names: dict[str, None] = field(default_factory=dict)

    def add(self, name: object, where: str) -> str:
        """The name as it is written to classes.txt.

        Raises:
            ValueError: It cannot be a line of a list.
        """
        if not isinstance(name, str) or not (text := unicodedata.normalize("NFC", name).strip()):
            raise ValueError(f"{where}: the class name {quoted(name)} is empty or no text; name the class")
        if text.startswith("#"):
            raise ValueError(f"{where}: the class name {quoted(name)} would be a comment in a list; rename the class")
        if wrong := control_character(text):
            raise ValueError(f"{where}: the class name {quoted(name)} holds {wrong}; rename the class")
        self.names.setdefault(text)
        return text


def numbered(
    classes: Sequence[str], void: str, chosen: Sequence[str] | None, unlisted: str, source: str, notes: Notes
) -> Labels:
    """Number the classes of a source: background is 0, the others follow in their order.

    Args:
        classes: The names in the source.
        void: What names such as "void" become: "ignore" or "background".
        chosen: The names that count, in their order; None for all.
        unlisted: What classes that are not chosen become: "ignore" or "background"; "refuse" is an error.
        source: The source, for messages.
        notes: For what is decided.

    Raises:
        ValueError: A class is not chosen and `unlisted` is "refuse", there are no classes, or too many.
    """
    listed = list(dict.fromkeys(classes if chosen is None else chosen))
    names = [name for name in listed if name.casefold() not in BACKGROUND_NAMES + VOID_NAMES]
    if not names:
        raise ValueError(f"{source}: it has no class besides the background; annotate some, or see --classes")
    if len(names) >= WIDE_IGNORE:
        raise ValueError(
            f"{source}: {len(names):,} classes; a mask has 16 bits and at most {WIDE_IGNORE - 1:,} classes"
        )
    ignored = ignored_id(len(names) + 1)
    by_name = {BACKGROUND: 0} | {name: label for label, name in enumerate(names, 1)}
    others = [name for name in classes if name not in by_name and name.casefold() not in BACKGROUND_NAMES + VOID_NAMES]
    if others and unlisted == "refuse":
        near = get_close_matches(others[0], names, n=1)
        guess = f" (did you mean {one_line(near[0])}?)" if near else ""
        raise ValueError(
            f"{source}: the class {one_line(others[0])} is not in --classes{guess}"
            f"{f', nor are {len(others) - 1} more' if len(others) > 1 else ''}; add it there, or choose "
            "--unknown ignore or --unknown background"
        )
    for name in classes:
        key = name.casefold()
        if key in BACKGROUND_NAMES:
            by_name[name] = 0
        elif key in VOID_NAMES or name in others:
            choice = void if key in VOID_NAMES else unlisted
            by_name[name] = ignored if choice == "ignore" else 0
            notes.add("classes whose pixels are " + ("ignored" if choice == "ignore" else "background"), name)
    return Labels((BACKGROUND, *names), by_name)
