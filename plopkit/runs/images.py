"""Which images made a run, one by one: so that what has changed can be named, and a list that has only grown is known.

They are noted in `images.csv` in the run's folder.
"""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

from plopkit.datasets.source import Source
from plopkit.support import seals
from plopkit.support.places import read_limited
from plopkit.support.printable import one_line

LARGEST = 2**28
"""Bytes of the file: three million images."""
MOST_NAMED = 3
"""Number of images that a message names."""
SPLITS = ("train", "val")

Images = dict[str, str]
"""The digest of each image and its mask, by its name."""


class Change(NamedTuple):
    """How the images of a split differ from those that made a run."""

    added: list[str]
    removed: list[str]
    altered: list[str]
    """the same name, and another image or mask"""
    moved: bool
    """the same images in another order"""

    @classmethod
    def between(cls, before: Images, now: Images) -> Self:
        """What has changed."""
        common = [name for name in before if name in now]
        altered = [name for name in common if before[name] != now[name]]
        moved = common != [name for name in now if name in before]
        return cls([name for name in now if name not in before], [n for n in before if n not in now], altered, moved)

    def words(self) -> str:
        """The change in words, such as "2 images more (a, b)"; empty where nothing has changed."""
        kinds = (("more", self.added), ("removed", self.removed), ("altered", self.altered))
        parts = [_counted(names, what) for what, names in kinds if names]
        return " and ".join(parts) or ("another order of the images" if self.moved else "")


def images_text(train: Source, val: Source) -> str:
    """The content of `images.csv`; empty where the images are known only as a whole."""
    if not (train.digests and val.digests):
        return ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("split", "digest", "image"))
    for split, source in zip(SPLITS, (train, val), strict=True):
        writer.writerows((split, digest, name) for digest, name in zip(source.digests, source.stems, strict=True))
    return text.getvalue()


def changes(path: Path, now: str) -> dict[str, Change]:
    """What has changed since a run was made, by split.

    Args:
        path: the run's `images.csv`.
        now: what `images_text` gives for the images as they are.

    Returns:
        A change for each split; nothing where the file is missing or damaged, or no image is known by itself.
    """
    if not now or not path.is_file() or not seals.is_intact(path):
        return {}
    before = _images(read_limited(path, LARGEST, "the images of a run").decode())
    present = _images(now)
    return {split: Change.between(before[split], present[split]) for split in SPLITS}


def words_of(found: dict[str, Change]) -> str:
    """The changes in words; empty where there are none."""
    return "; ".join(f"{split}: {words}" for split, change in found.items() if (words := change.words()))


def _images(text: str) -> dict[str, Images]:
    images: dict[str, Images] = {split: {} for split in SPLITS}
    for split, digest, name in _rows(text):
        images[split][name] = digest
    return images


def _rows(text: str) -> Iterator[list[str]]:
    rows = csv.reader(io.StringIO(text))
    next(rows)
    yield from rows


def _counted(names: list[str], what: str) -> str:
    shown = ", ".join(one_line(name, 60) for name in names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
    return f"{len(names)} image{'s' if len(names) > 1 else ''} {what} ({shown})"
