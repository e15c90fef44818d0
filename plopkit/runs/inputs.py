"""The pictures that a user names by folders, patterns and files, and the names of what is made from them."""

import glob
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from plopkit.datasets.pictures import FORMATS
from plopkit.support.places import expanded


class Input(NamedTuple):
    """A picture to work on."""

    path: Path
    shown: str
    """its path below the folder that all pictures have in common, with slashes"""
    name: str
    """of its results, without a suffix: like `shown`, unique among all, also where case does not matter"""


def find_inputs(arguments: Sequence[str | Path], without: Path | None = None) -> list[Input]:
    """The pictures that are named, each once, those of a folder in the order of their names.

    Args:
        arguments: folders, which are searched with all below them except what is hidden; patterns such as
            `photos/**/*.jpg`; files.
        without: a folder whose pictures are left out, such as that of the results.

    Raises:
        FileNotFoundError: where there is no such file, or no picture in a folder.
        ValueError: where no argument is given, or the pictures have no folder in common.
    """
    if not arguments:
        raise ValueError("no pictures are named; name folders, patterns or files")
    left_out = without and _absolute(without)
    roots: dict[str, None] = {}
    paths: dict[str, None] = {}
    for argument in arguments:
        for root, path in _named(str(argument)):
            if left_out is None or os.path.commonpath([left_out, path]) != left_out:
                roots[root], paths[path] = None, None
    if not paths:
        raise FileNotFoundError(f"{', '.join(map(str, arguments))}: no pictures in it besides those in {without}")
    try:
        common = os.path.commonpath(roots)
    except ValueError as error:  # on Windows
        raise ValueError("the pictures are on several drives; name those of one drive at a time") from error
    shown = [os.path.relpath(path, common).replace(os.sep, "/") for path in paths]
    return [Input(Path(path), *names) for path, *names in zip(paths, shown, unique_names(shown), strict=True)]


def unique_names(paths: Sequence[str]) -> list[str]:
    """Paths without their suffixes, which stay where two would have the same name; case does not count.

    Example:
        >>> unique_names(["a/x.jpg", "b/x.jpg", "b/x.png"])
        ['a/x', 'b/x.jpg', 'b/x.png']
    """
    names = [os.path.splitext(path)[0] for path in paths]
    while True:
        counts = Counter(name.casefold() for name in names)
        clashes = [index for index, name in enumerate(names) if counts[name.casefold()] > 1]
        if not clashes:
            return names
        short = [index for index in clashes if names[index] != paths[index]]
        for index in short:
            names[index] = paths[index]
        for number, index in enumerate(clashes if not short else ()):  # they differ in case alone
            names[index] = f"{paths[index]}~{number}"


def is_picture(name: str) -> bool:
    """Whether a file's name ends like that of a picture that plopkit reads, and is not hidden."""
    known = Image.registered_extensions()
    return not name.startswith(".") and known.get(os.path.splitext(name)[1].lower()) in FORMATS


def _named(argument: str) -> Iterator[tuple[str, str]]:
    """Folder and path of each picture that an argument names; the folder is one that is searched, or its own."""
    path = _absolute(expanded(argument))
    if os.path.isdir(path):
        if os.path.isfile(os.path.join(path, "settings.yaml")) and os.path.isdir(os.path.join(path, "checkpoints")):
            raise ValueError(f"{argument}: a run's folder, not pictures; name one run first, then the pictures")
        inside = list(_inside(path, set()))
        if not inside:
            raise FileNotFoundError(f"{argument}: no pictures in it ({', '.join(FORMATS)}); name another folder")
        yield from ((path, each) for each in inside)
    elif os.path.lexists(path):
        yield os.path.dirname(path), path
    else:
        matches = sorted(each for each in glob.glob(path, recursive=True) if is_picture(os.path.basename(each)))
        if not matches:
            what = "no picture matches it" if glob.has_magic(argument) else "there is no such file or folder"
            raise FileNotFoundError(f"{argument}: {what}")
        yield from ((os.path.dirname(each), each) for each in matches)


def _inside(folder: str, seen: set[str]) -> Iterator[str]:
    """The pictures in a folder and below; links to folders are followed, each folder once."""
    real = os.path.realpath(folder)
    if real in seen:
        return
    seen.add(real)
    with os.scandir(folder) as listed:
        entries = sorted(listed, key=lambda entry: entry.name)
    for entry in entries:
        if entry.name.startswith((".", "__MACOSX")):
            continue
        if entry.is_dir():
            yield from _inside(entry.path, seen)
        elif is_picture(entry.name):
            yield entry.path


def _absolute(path: str | Path) -> str:
    return os.path.abspath(path)
