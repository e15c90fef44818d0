"""What is wrong with a data set, or may be: errors stop a run, warnings do not."""

import os
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from plopkit.datasets.survey import Survey
from plopkit.datasets.turns import Turn
from plopkit.support.printable import one_line

SHOWN = 3
"""Files that a finding names."""


class Finding(NamedTuple):
    """A line for the user."""

    is_error: bool
    text: str
    files: tuple[str, ...] = ()
    """all files that it is about, which the text names up to `SHOWN`"""

    def __str__(self) -> str:
        return f"{'error' if self.is_error else 'warning'}: {self.text}"


class Split(NamedTuple):
    """The images of a split, and what they hold."""

    name: str
    """"training" or "validation" """
    images: tuple[str, ...]
    """the file of each image, or its name where it has none"""
    masks: tuple[str, ...]
    survey: Survey

    @property
    def n(self) -> int:
        """Number of images."""
        return len(self.images)


def error(text: str, files: Iterable[str] = ()) -> Finding:
    """What stops a run."""
    return Finding(True, text, tuple(files))


def warning(text: str, files: Iterable[str] = ()) -> Finding:
    """What does not."""
    return Finding(False, text, tuple(files))


def of_file_errors(split: Split) -> list[Finding]:
    """Images and masks that cannot be used, the first few by name."""
    errors = sorted(split.survey.errors.items())
    findings = [error(text, [split.images[index]]) for index, text in errors[:SHOWN]]
    if rest := [(index, text) for index, text in errors[SHOWN:]]:
        text = f"and {len(rest):,} more {split.name} images or masks that cannot be used; --findings CSV lists all"
        findings.append(error(text, [text for _, text in rest]))
    return findings


def of_classes(classes: pd.DataFrame) -> list[Finding]:
    """Classes that no step shows in training, or that cannot be evaluated.

    Args:
        classes: The scenario's `classes_table`.
    """
    learnt = classes[(classes["step"] == classes["learnt at"]) & (classes["label"] > 0)]
    last = classes[(classes["step"] == classes["step"].max()) & (classes["label"] > 0)]
    findings = []
    for table, kind, result in (
        (learnt, "training", "it cannot be learnt"),
        (last, "validation", "it has no IoU"),
    ):
        names = [one_line(name) for name in table.loc[table[f"{kind} pixels"] == 0, "name"]]
        if names:
            findings.append(warning(f"no {kind} pixels of {_few(names)}: {result}"))
    return findings


def of_masks(split: Split) -> list[Finding]:
    """Masks without a class."""
    counts = split.survey.counts
    read = _read(split)
    no_class = read & ~counts[:, 1:-1].any(1)
    ignored_only = no_class & ~counts[:, 0].astype(bool)
    binary = no_class & (counts[:, -1] > 0) & (counts[:, 0] > 0)
    findings = []
    if ignored_only.any():
        findings.append(_about(split, ignored_only, "masks are ignored pixels only"))
    if binary.any() and counts[:, 1:-1].any():
        findings.append(
            _about(
                split,
                binary,
                "masks hold only 0 and 255, of which 255 is ignored: are they binary masks? See data.binary",
            )
        )
    if (empty := no_class & ~ignored_only & ~binary).any():
        findings.append(_about(split, empty, "masks are background only, and no step uses their images"))
    return findings


def of_turns(split: Split) -> list[Finding]:
    """Images that are turned by their EXIF flag."""
    turns = [Turn(*map(int, row)) for row in split.survey.turns]
    both = np.array([turn.mask > 1 for turn in turns], bool)
    alone = np.array([not turn.is_sure and turn.image > 1 for turn in turns], bool)
    findings = []
    if both.any():
        text = "images are turned by their EXIF flag, and their masks with them, which were drawn on them unturned"
        findings.append(_about(split, both, text))
    if alone.any():
        text = "images are turned by their EXIF flag, their masks are not: look whether they fit"
        findings.append(_about(split, alone, text))
    return findings


def of_sizes(split: Split, crop: int) -> list[Finding]:
    """Images smaller than the crop."""
    small = _read(split) & (split.survey.sizes.min(1) < crop)
    if not small.any():
        return []
    return [_about(split, small, f"images are smaller than the crop of {crop} pixels (data.size), and are enlarged")]


def of_copies(train: Split, val: Split) -> list[Finding]:
    """Images with the same pixels, within a split and in both."""
    findings = []
    for split in (train, val):
        first: dict[bytes, int] = {}
        copies = [
            (index, first[digest])
            for index, digest in enumerate(split.survey.digests)
            if digest and first.setdefault(digest, index) != index
        ]
        if copies:
            different = [
                pair for pair in copies if (split.survey.counts[pair[0]] != split.survey.counts[pair[1]]).any()
            ]
            text = f"{_number(len(copies), split.n)} {split.name} images have the same pixels as another one"
            text += f", and {len(different)} of them other masks" if different else ""
            pairs = [f"{split.images[a]} = {os.path.basename(split.images[b])}" for a, b in different or copies]
            findings.append(warning(f"{text}: {_few(pairs)}", [split.images[a] for a, _ in copies]))
    trained = set(train.images)
    by_name = [image for image in val.images if image in trained]
    if by_name:
        text = f"{_number(len(by_name), val.n)} validation images are training images as well: {_few(by_name)}"
        findings.append(warning(text, by_name))
    digests = {digest: image for digest, image in zip(train.survey.digests, train.images, strict=True) if digest}
    by_content = [
        (image, digests[digest])
        for image, digest in zip(val.images, val.survey.digests, strict=True)
        if digest in digests and image not in trained
    ]
    if by_content:
        text = f"{_number(len(by_content), val.n)} validation images have the same pixels as a training image"
        pairs = [f"{image} = {os.path.basename(other)}" for image, other in by_content]
        findings.append(warning(f"{text}: {_few(pairs)}", [image for image, _ in by_content]))
    return findings


def of_leftovers(kind: str, files: Sequence[str]) -> list[Finding]:
    """Files that nothing uses.

    Args:
        kind: What they are: "images that no list names", "masks without an image".
        files: All of them.
    """
    return [warning(f"{kind} ({len(files):,}): {_few(files)}", files)] if files else []


def summary(split: Split) -> str:
    """Number, sizes and shares of a split, in a line."""
    read = _read(split)
    if not read.any():
        return f"{split.n:,} {split.name} images"
    sizes, counts = split.survey.sizes[read], split.survey.counts[read].sum(0, dtype=np.int64)
    smallest, largest = (sizes[order] for order in (sizes.prod(1).argmin(), sizes.prod(1).argmax()))
    sides = f"{smallest[1]} x {smallest[0]}"
    if tuple(smallest) != tuple(largest):
        sides += f" to {largest[1]} x {largest[0]}"
    total = max(1, counts.sum())
    shares = f"{100 * counts[0] / total:.1f} % background, {100 * counts[-1] / total:.1f} % ignored"
    folders = {os.path.dirname(mask) for mask in split.masks if os.path.dirname(mask)}
    place = f"; masks in {one_line(os.path.commonpath(folders))}" if folders else ""
    return f"{split.n:,} {split.name} images, {sides} pixels, {shares}{place}"


def _read(split: Split) -> np.ndarray:
    read = np.ones(split.n, bool)
    read[list(split.survey.errors)] = False
    return read


def _about(split: Split, which: np.ndarray, text: str) -> Finding:
    kind = split.masks if text.startswith("masks") else split.images
    files = [kind[index] for index in np.flatnonzero(which)]
    return warning(f"{_number(len(files), split.n)} {split.name} {text}: {_few(files)}", files)


def _number(count: int, of: int) -> str:
    return f"{count:,} of {of:,} ({100 * count / max(1, of):.0f} %)"


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else ""
    return ", ".join(one_line(name) for name in names[:SHOWN]) + more
