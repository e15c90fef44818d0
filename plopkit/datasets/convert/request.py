"""What the user has asked for."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from plopkit.datasets.convert.images import Images
from plopkit.datasets.convert.splits import split_of

ANNOTATION_FOLDERS = ("annotations", "annotation", "labels", "result", "json")
"""Folders that hold annotations, next to those of the images."""


@dataclass(frozen=True)
class Request:
    """A conversion's source, and the choices that a reader of it needs."""

    sources: tuple[Path, ...]
    """A folder, or files of annotations."""
    images: Path | None = None
    """The folder of the images; None where it is found by the source."""
    masks: Path | None = None
    """The folder of the masks, for formats of masks."""
    classes: Path | None = None
    """A list of class names, or a table with their colours."""
    binary: str = ""
    """The class of the white pixels of binary masks."""
    columns: tuple[str, str] = ("image", "annotation")
    """Of image and mask, for Hugging Face."""
    void: str = "ignore"
    """What pixels of no class become: "ignore" or "background"."""
    unknown: str = "refuse"
    """What unknown colours and classes become: "refuse", "ignore" or "background"."""
    leave_out: frozenset[str] = frozenset()
    """Pictures that are left out: "empty", "missing"."""

    @property
    def source(self) -> Path:
        """The folder, or the first file."""
        return self.sources[0]

    @property
    def folder(self) -> Path:
        """The folder of everything: the source itself, or the one that contains its files."""
        if self.source.is_dir():
            return self.source
        parent = Path(os.path.commonpath([path.parent.absolute() for path in self.sources]))
        return parent.parent if parent.name.casefold() in ANNOTATION_FOLDERS else parent

    def split_of(self, path: Path) -> str | None:
        """The split that a file's path below the source says; where the source itself lies does not matter."""
        return split_of(path.absolute().relative_to(self.folder.absolute()))

    @cached_property
    def found_images(self) -> Images:
        """The images, by name."""
        return Images(self.images or self.folder, "missing" in self.leave_out)
