"""Which pictures are for training and which for validation: as the source says, by a list, or drawn at random."""

import hashlib
import re
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from plopkit.datasets.convert.annotated import Notes
from plopkit.datasets.lists import read_lines
from plopkit.support.printable import one_line

WORDS = {
    "train": ("train", "training"),
    "val": ("val", "valid", "validation", "dev"),
    "test": ("test", "testing"),
}
"""By split: what files and folders of it are called."""
_SPLITS = {word: split for split, words in WORDS.items() for word in words}


def split_of(path: PurePath) -> str | None:
    """The split that a path's name says, or the nearest folder above it: `instances_val2017.json` is "val"."""
    for part in (path.stem, *reversed(path.parts[:-1])):
        found = {_SPLITS[word] for word in re.split(r"[^a-z]+", part.casefold()) if word in _SPLITS}
        if len(found) == 1:
            return found.pop()
    return None


def known_split(word: str) -> str | None:
    """ "train", "val" or "test" for a source's own name of a split; None for another."""
    return _SPLITS.get(word.casefold())


def by_source(splits: Sequence[str | None]) -> dict[str, list[int]] | None:
    """The pictures of the source's own splits, by index; None where it has not both."""
    found = {split: [i for i, own in enumerate(splits) if own == split] for split in ("train", "val")}
    return found if all(found.values()) else None


def at_random(stems: Sequence[str], share: float, seed: int) -> dict[str, list[int]]:
    """Choose a share of the pictures for validation, by a digest of name and seed.

    So the same names give the same choice on every machine, and most pictures keep their split when others are added.

    Args:
        stems: The names, two at least.
        share: Of the pictures for validation; each split has at least one.
        seed: Another one chooses others.
    """
    ranks = sorted(range(len(stems)), key=lambda i: hashlib.sha256(f"{seed}\0{stems[i]}".encode()).digest())
    n_val = min(max(1, round(share * len(stems))), len(stems) - 1)
    return {"train": sorted(ranks[n_val:]), "val": sorted(ranks[:n_val])}


def by_list(path: Path, names: Sequence[Mapping[str, None] | Sequence[str]], notes: Notes) -> dict[str, list[int]]:
    """The pictures in a list are for validation, the others for training.

    Args:
        path: A stem, file name or path per line.
        names: What each picture may be called.
        notes: Not used for pictures; lines that are repeated are counted.

    Raises:
        ValueError: A line names no picture, or several; or a split would be empty.
    """
    index: dict[str, set[int]] = {}
    for number, own in enumerate(names):
        for name in own:
            index.setdefault(_key(name), set()).add(number)
    chosen: set[int] = set()
    for line in filter(None, read_lines(path)):
        found = index.get(_key(line), set())
        if len(found) != 1:
            what = "is no picture of the source" if not found else f"may be {len(found)} pictures: write its path"
            raise ValueError(f"{path}: {one_line(line)} {what}; correct the line")
        if found <= chosen:
            notes.add("lines of --val-list that are repeated", line)
        chosen |= found
    if not chosen or len(chosen) == len(names):
        raise ValueError(f"{path}: it names {len(chosen)} of {len(names)} pictures, but both splits need some")
    return {"train": sorted(set(range(len(names))) - chosen), "val": sorted(chosen)}


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name.strip().replace("\\", "/"))
