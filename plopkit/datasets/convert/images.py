"""Which file an annotation means: images by path, by the end of a path, or by name."""

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from plopkit.datasets.convert.annotated import Notes
from plopkit.datasets.convert.splits import split_of
from plopkit.support.printable import one_line

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp")
"""In any case."""
MANIFEST = "converted.json"
"""In a folder that was converted; says what made it, and lists its files."""


class Images:
    """The image files in a folder and below, by name.

    Args:
        folder: The folder.
        leave_out_missing: Whether pictures without a file are left out, and counted; otherwise `check` names them.
    """

    def __init__(self, folder: Path, leave_out_missing: bool = False):
        self.folder, self.leave_out_missing = folder, leave_out_missing
        self.files = image_files(folder)
        self._missing: list[tuple[str, str]] = []
        self._named: set[Path] = set()
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.files:
            self._by_name[_key(path.name)].append(path)

    def find(
        self, name: str, where: str, near: Path | None = None, split: str | None = None, otherwise: Sequence[str] = ()
    ) -> Path | None:
        """The file whose path ends most like a name, which may be a path, an address or a Windows path.

        Args:
            name: As the annotation has it.
            where: The annotation, for messages.
            near: The folder of the annotation: a file in it is preferred.
            split: Of the annotation: of several files, those in a folder of this split are preferred.
            otherwise: Further names, tried where there is no file with the first.

        Returns:
            None where there is no such file; `check` reports it later, together with the others.

        Raises:
            ValueError: Several files fit equally well.
        """
        for spelling in (name, *otherwise):
            parts = _parts(spelling)
            candidates = self._by_name.get(_key(parts[-1]), []) if parts else []
            if candidates:
                break
        else:
            self._missing.append((name, where))
            return None
        keys = [_key(part) for part in parts]
        if near is not None and (own := near.joinpath(*parts)) in candidates:
            return self._noted(own)
        shared = [_shared_end(keys, path) for path in candidates]
        best = [path for path, length in zip(candidates, shared, strict=True) if length == max(shared)]
        if len(best) > 1:
            exact = [path for path in best if path.relative_to(self.folder).parts == tuple(parts)]
            of_split = [path for path in best if split and split_of(path.relative_to(self.folder)) == split]
            best = exact or of_split or best
        if len(best) > 1:
            raise ValueError(
                f"{where}: the image {one_line(name)} may be {best[0]} or {best[1]}; name the folder of the right one "
                "with --images"
            )
        return self._noted(best[0])

    def known(self, name: str, near: Path) -> Path | None:
        """The file of this name in a folder; None where there is none, which is no error."""
        path = near.joinpath(*_parts(name))
        return self._noted(path) if path in self._by_name.get(_key(path.name), []) else None

    def name_of(self, path: Path) -> str:
        """The path of a file below the folder."""
        return path.relative_to(self.folder).as_posix()

    def _noted(self, path: Path) -> Path:
        self._named.add(path)
        return path

    def check(self, notes: Notes, unnamed: bool = True) -> None:
        """Report the images that were not found.

        Args:
            notes: For what is left out.
            unnamed: Whether to count the files that no annotation names, too.

        Raises:
            FileNotFoundError: There are some, and they are not left out.
        """
        others = [path for path in self.files if path not in self._named] if unnamed else []
        if others:
            notes.add("image files that no annotation names, left out", others[0], len(others))
        if not self._missing:
            return
        if self.leave_out_missing:
            for name, _ in self._missing:
                notes.add("pictures whose image is missing, left out", name)
            return
        name, where = self._missing[0]
        more = f" and {len(self._missing) - 1:,} more" if len(self._missing) > 1 else ""
        raise FileNotFoundError(
            f"{where}: the image {one_line(name)} is missing in {self.folder}{more}; name the folder of the images "
            "with --images, or leave those pictures out with --leave-out missing"
        )


def image_files(folder: Path) -> list[Path]:
    """The image files in a folder and below, sorted."""
    return [path for path in files_below(folder) if is_image(path.name)]


def files_below(folder: Path) -> list[Path]:
    """All files in a folder and below, sorted, except hidden ones and those that a conversion has written."""
    found = []
    for place, folders, names in os.walk(folder):
        if MANIFEST in names and Path(place) != folder:
            folders.clear()
            continue
        folders[:] = [name for name in folders if not is_hidden(name)]
        found += [Path(place, name) for name in names if not is_hidden(name)]
    return sorted(found)


def is_hidden(name: str) -> bool:
    """Whether a file or folder was made by a system: .DS_Store, ._image.jpg, __MACOSX."""
    return name.startswith(".") or name == "__MACOSX"


def is_image(name: str) -> bool:
    """Whether a file is an image, by its name."""
    return not is_hidden(name) and os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def file_stems(names: Iterable[str]) -> list[str]:
    """A stem for each picture under which its files are written.

    It is that of its file, in one Unicode form. Pictures that would share it, also where a file system ignores case,
    have their folders before it: a/1.jpg and b/1.jpg become a__1 and b__1.

    Raises:
        ValueError: Two pictures cannot be distinguished.
    """
    names = [_clean(name) for name in names]
    stems = [os.path.splitext(name)[0].rpartition("/")[2] for name in names]
    for longer in (lambda name: os.path.splitext(name)[0], lambda name: name.replace(".", "_")):
        counts: dict[str, int] = defaultdict(int)
        for stem in stems:
            counts[stem.casefold()] += 1
        stems = [
            longer(name).replace("/", "__") if counts[stem.casefold()] > 1 else stem
            for name, stem in zip(names, stems, strict=True)
        ]
    seen: dict[str, str] = {}
    for name, stem in zip(names, stems, strict=True):
        other = seen.get(stem.casefold())
        seen[stem.casefold()] = name
        if other is not None:
            raise ValueError(
                f"the pictures {one_line(other)} and {one_line(name)} would both be written as {one_line(stem)}; "
                "rename one, or annotate each once"
            )
    return stems


def _clean(name: str) -> str:
    """A relative path with slashes, without what a line of a list or a file name cannot hold."""
    text = unicodedata.normalize("NFC", name).replace("\\", "/")
    parts = [part.strip() for part in text.split("/") if part.strip() not in ("", ".", "..")]
    parts = [re.sub(r"\s+(?=\.[^.]*$)", "", part) for part in parts]  # a line of a list has no blanks at its ends
    text = "/".join(re.sub(r'[\x00-\x1f\x7f:*?"<>|]', "_", part) for part in parts)
    text = "".join(character if character.isprintable() else "_" for character in text)
    return re.sub(r"(^|/)[#.]+", r"\1_", text)  # a line with # is a comment, a file with . is hidden


def _parts(name: str) -> list[str]:
    return [part for part in re.split(r"[/\\]", name) if part not in ("", ".", "..")]


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _shared_end(keys: list[str], path: Path) -> int:
    length = 0
    for key, part in zip(reversed(keys), reversed(path.parts), strict=False):
        if key != _key(part):
            break
        length += 1
    return length
