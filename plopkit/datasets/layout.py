"""A folder of images and their masks: which mask belongs to which image, and what a list names."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from plopkit.datasets.entries import Entry, columns_of, find_key, leads_outside, read_entries, spellings
from plopkit.datasets.file_index import FileIndex, is_marked, is_picture, plain, unmarked
from plopkit.datasets.lists import numbered_lines
from plopkit.datasets.nearest import hint
from plopkit.support.printable import control_character, one_line

MOST_MISSING = 100
"""Missing files that are counted."""
LOSSY = (".jpg", ".jpeg")
REMEDY = "complete the data set, or remove the image from the split file"
WITHOUT_LIST = "complete the data set, or remove the image"


class Pairs(NamedTuple):
    """Images and masks that belong together, in the order of a list."""

    stems: list[str]
    """paths below the folder of images, without ending"""
    images: list[str]
    masks: list[str]
    remarks: tuple[str, ...] = ()
    """what was put right: lines that repeat an image"""

    def append(self, stem: str, image: str, mask: str) -> None:
        """Add a pair."""
        self.stems.append(stem)
        self.images.append(image)
        self.masks.append(mask)


class Layout:
    """Where the images and masks of a data set are.

    Args:
        root: The data set's folder.
        images: The pictures in the folder of images.
        masks: Those in the folder of masks; None where each mask is next to its image.
        own_masks: Whether the masks that a list names do not count: VOC's lists may have been made for other masks.
    """

    def __init__(self, root: Path, images: FileIndex, masks: FileIndex | None, own_masks: bool = False):
        self.root = os.fspath(root)
        self.images = images
        self.masks = masks
        self._own_masks = own_masks

    def listed(self, path: Path) -> Pairs:
        """The pairs that a list names. An image that is named twice is used once, with a remark.

        Raises:
            FileNotFoundError: An image or a mask is missing. The message names the list, the line and what is near.
            ValueError: The list is empty or unreadable, a line leads out of the data set's folder, or two files could
                be meant.
        """
        pairs, seen = Pairs([], [], []), dict[str, int]()
        repeated: list[Entry] = []
        missing: list[tuple[int, str]] = []
        lines = numbered_lines(path)
        n_first = next((line.number for line in lines if not line.text.startswith("#")), 0)
        for entry in read_entries(lines, self._image_key, self._mask_path):
            line = entry.line.number
            if entry.key is None:
                inside = self._inside(entry.image)
                if not inside:
                    place = "images/" if self.images.folder.name == "images" else f"{self.images.folder}"
                    raise ValueError(
                        f"{path}: line {line}: {one_line(entry.image)!r} leads out of the folder {place}; write the "
                        "image's file stem"
                    )
                if len(several := self.images.by_stem.get(os.path.splitext(entry.image)[0], ())) > 1:
                    first, second = (self.image_for(key) for key in several[:2])
                    raise ValueError(
                        f"{path}: line {line}: {one_line(entry.image)!r} may be {first} or {second}; write its path"
                    )
                name = inside[-1]
                missing.append((line, self.images.path(name if is_picture(os.path.basename(name)) else f"{name}.jpg")))
            elif named := self._several_in(entry):
                raise ValueError(
                    f"{path}: line {line} names several images ({', '.join(map(one_line, named[:3]))}); write "
                    "each on a line of its own"
                )
            elif seen.setdefault(entry.key, line) != line:
                if self.image_for(entry.key, entry.image) not in pairs.images:
                    self.image_for(entry.key)  # says that there are two
                repeated.append(entry)
            elif (mask := self._mask_of(entry)) is None:
                missing.append((line, self._expected_mask(entry.key, entry.mask)))
            else:
                pairs.append(entry.key, self.image_for(entry.key, entry.image), mask)
            if len(missing) >= MOST_MISSING:
                break
        if missing:
            line, file = missing[0]
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            near = hint(Path(file))
            if not near and pairs.stems and len(missing) == 1 and line == n_first:
                near = f" (is line {line} a header? Then remove it)"
            raise FileNotFoundError(f"{path}: line {line}: {file} is missing{more}; {REMEDY}{near}")
        if not pairs.stems:
            raise ValueError(f"{path}: the split is empty; write one file stem per line")
        return pairs._replace(remarks=_repetitions(path, repeated, seen))

    def everything(self) -> Pairs:
        """All images, by name.

        Raises:
            FileNotFoundError: An image has no mask.
            ValueError: Two files could be meant.
        """
        pairs, missing = Pairs([], [], []), []
        for key in self.keys():
            if not key.isprintable() and (wrong := control_character(key)):
                raise ValueError(f"{self.images.path(key)!r}: the file's name holds {wrong}; rename it")
            image, mask = self.image_for(key), self.mask_for(key)
            if mask is None:
                missing.append(self._expected_mask(key))
            else:
                pairs.append(key, image, mask)
        if missing:
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise FileNotFoundError(f"{missing[0]} is missing{more}; {WITHOUT_LIST}{hint(Path(missing[0]))}")
        return pairs

    def keys(self) -> Iterator[str]:
        """The keys of all images, sorted, without the masks next to them."""
        for key in sorted(self.images.names):
            if not (self.masks is None and is_marked(key) and unmarked(key) in self.images.names):
                yield key

    def image_for(self, key: str, text: str = "") -> str:
        """The file of an image.

        Args:
            key: The image's key.
            text: The image as a list names it: its ending decides between two files.

        Raises:
            ValueError: Two files have the key.
        """
        names = self.images.names[key]
        if self.masks is None and len(names) == 2:  # photo.jpg and its mask photo.png
            pictures = [name for name in names if not name.lower().endswith(".png")]
            names = pictures if len(pictures) == 1 else names
        named = [name for name in names if text and os.path.splitext(name)[1] == os.path.splitext(text)[1]]
        names = named if len(named) == 1 else names
        if len(names) > 1:
            raise ValueError(
                f"{self.images.path(names[0])} and {os.path.basename(names[1])} have the same stem; keep one image "
                "per mask"
            )
        return self.images.path(names[0])

    def mask_for(self, key: str) -> str | None:
        """The file of an image's mask, None where there is none.

        The first of: the same name; the image's whole file name, as in `photo.jpg.png`; the same name with a word such
        as `_mask`, also in the place of the image's own, as in `photo_rgb`; and the first and third in other
        sub-folders, where the image's stem is unique.

        Raises:
            ValueError: Two files could be it.
        """
        index = self.masks or self.images
        own = self.image_for(key) if self.masks is None else ""
        for keys in self._mask_keys(key):
            paths = [index.path(name) for each in keys for name in index.names.get(each, ())]
            paths = [path for path in paths if path != own]
            paths = [path for path in paths if not path.lower().endswith(LOSSY)] or paths
            if len(paths) > 1:
                raise ValueError(
                    f"{paths[0]} and {os.path.basename(paths[1])} may both be the mask of {self.image_for(key)}; keep "
                    "one"
                )
            if paths:
                return paths[0]
        return None

    def _mask_keys(self, key: str) -> Iterator[Iterable[str]]:
        """The keys that an image's mask may have, the likeliest first."""
        index, stem = self.masks or self.images, key.rpartition("/")[2]
        yield [key]
        yield [key + os.path.splitext(name)[1] for name in self.images.names[key]]
        yield index.marked.get(key, ())
        if (base := plain(key)) != key:
            yield index.marked.get(base, ())
        if self.masks is not None and len(self.images.by_stem.get(stem, ())) == 1:
            yield index.by_stem.get(stem, ())
            yield index.marked_by_stem.get(stem, ())

    def _several_in(self, entry: Entry) -> tuple[str, ...]:
        """The images that a line names, where each of its columns names another one: no mask is among them."""
        if self.masks is None or entry.image == entry.line.text:
            return ()
        for columns in columns_of(entry.line.text):
            keys = {self._image_key(column.strip("[]\"' ")) for column in columns}
            if None not in keys and len(keys) == len(columns):
                return tuple(column.strip("[]\"' ") for column in columns)
        return ()

    def _image_key(self, text: str) -> str | None:
        return find_key(text, self.images, self.root)

    def _mask_path(self, text: str) -> str | None:
        """The mask that a list names: in the folder of masks, or elsewhere below the root."""
        index = self.masks or self.images
        if (key := find_key(text, index, self.root)) is not None:
            suffix = os.path.splitext(text)[1].lower()
            names = index.names[key]
            return index.path(next((name for name in names if name.lower().endswith(suffix)), names[0]))
        for spelling in spellings(text, self.root, os.path.basename(self.root).casefold()):
            spelling = spelling.lstrip("/")
            path = os.path.join(self.root, spelling)
            if is_picture(os.path.basename(spelling)) and not leads_outside(spelling) and os.path.isfile(path):
                return path
        return None

    def _mask_of(self, entry: Entry) -> str | None:
        assert entry.key is not None
        named = "" if self._own_masks else entry.mask
        return self._mask_path(named) if named else self.mask_for(entry.key)

    def _inside(self, text: str) -> list[str]:
        """The paths below the folder of images that a text may mean; none where it leads elsewhere."""
        found = spellings(text, self.root, self.images.last_part)
        return [spelling for spelling in found if not leads_outside(spelling)]

    def _expected_mask(self, key: str, named: str | None = None) -> str:
        if named:
            return os.path.join(self.root, named.replace("\\", "/").lstrip("/"))
        return self.images.path(f"{key}_mask.png") if self.masks is None else self.masks.path(f"{key}.png")


def _repetitions(path: Path, repeated: list[Entry], seen: dict[str, int]) -> tuple[str, ...]:
    if not repeated:
        return ()
    line, key, _, _ = repeated[0]
    more = f" and {len(repeated) - 1} more" if len(repeated) > 1 else ""
    assert key is not None
    return (
        f"{path}: line {line.number} names {one_line(key)} again, as line {seen[key]} does{more}; each image is used "
        "once",
    )
