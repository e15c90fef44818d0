"""A user's own data: ``images/``, ``masks/``, ``classes.txt``, ``train.txt``, ``val.txt``."""

from pathlib import Path

from plopkit.datasets.files import FileSource, read_lines, read_stems
from plopkit.settings import Data

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


def folder(root: Path, split: str) -> FileSource:
    """The split ("train" or "val") of a folder of one's own. FileNotFoundError and ValueError say what is missing."""
    classes = folder_classes(root)
    for name in ("images", "masks"):
        if not (root / name).is_dir():
            raise FileNotFoundError(f"{root}: no {name}/ in it; images/*.jpg and masks/*.png are needed")
    listing = root / f"{split}.txt"
    if not listing.is_file():
        raise FileNotFoundError(f"{listing}: no {split} list; write the file stems of that split, one a line")
    found: dict[str, Path] = {}
    for path in sorted((root / "images").iterdir()):
        if path.suffix.lower() in IMAGE_SUFFIXES and found.setdefault(path.stem, path) != path:
            raise ValueError(f"{found[path.stem]} and {path.name} have one stem; keep one image for each mask")
    stems = read_stems(listing)  # which may hold blanks
    if not found.keys() >= set(stems) and found.keys() >= {stem.split()[0] for stem in stems}:
        stems = read_stems(listing, columns=True)
    images = [found.get(stem, root / "images" / f"{stem}.jpg") for stem in stems]
    return FileSource(classes, stems, images, [root / "masks" / f"{stem}.png" for stem in stems])


def folder_classes(root: Path) -> tuple[str, ...]:
    """The class names of ``classes.txt``: line 1 is the background."""
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; data.root must hold images/, masks/ and classes.txt")
    path = root / "classes.txt"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; write one class name a line, the background first")
    names = tuple(read_lines(path))
    if "" in names:
        raise ValueError(f"{path}: line {names.index('') + 1} is empty; line n names label n - 1, so give it a name")
    if not 3 <= len(names) <= 255:
        raise ValueError(f"{path}: {len(names)} names; the background and 2 to 254 classes are needed, one a line")
    if len(set(names)) < len(names):
        raise ValueError(f"{path}: a class name stands there twice; every name must be another")
    return names


def open_split(split: str, data: Data, seed: int = 0) -> FileSource:
    """The catalogue's opener: `folder` in `data.root`."""
    assert data.root is not None  # the catalogue has asked for it
    return folder(data.root, split)
