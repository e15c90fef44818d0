"""ADE20K as released for its scene parsing challenge of 2016: 150 classes; label 0 is everything without a class."""

from pathlib import Path

from plopkit.datasets.file_index import FileIndex
from plopkit.datasets.files import FileSource
from plopkit.datasets.layout import Layout
from plopkit.settings import Data
from plopkit.support import resources
from plopkit.support.places import expanded

FOLDERS = {"train": "training", "val": "validation"}


def ade(root: Path, split: str) -> FileSource:
    """Open a split of ADE20K. Its label 0, "void", counts as background, as in the released code.

    Args:
        root: The folder `ADEChallengeData2016`, or one that contains it.
        split: "train" or "val".

    Raises:
        FileNotFoundError: A folder, image or mask is missing. The message names it.
    """
    base = ade_base(root)
    images, masks = (base / kind / FOLDERS[split] for kind in ("images", "annotations"))
    for folder in (images, masks):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder; ADE20K has images/ and annotations/ for both splits")
    pairs = Layout(base, FileIndex(images), FileIndex(masks)).everything()
    if not pairs.stems:
        raise FileNotFoundError(f"{images}: it contains no *.jpg; unpack ADEChallengeData2016.zip again")
    return FileSource(resources.class_names("ade"), pairs.stems, pairs.images, pairs.masks)


def ade_base(root: Path) -> Path:
    """The `ADEChallengeData2016` folder in or at `root`.

    Raises:
        FileNotFoundError: There is none. The message names the folders searched.
    """
    root = expanded(root)
    candidates = (root, root / "ADEChallengeData2016")
    for base in candidates:
        if (base / "images" / FOLDERS["train"]).is_dir():
            return base
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; data.root must be an ADEChallengeData2016 folder")
    searched = ", ".join(map(str, candidates))
    raise FileNotFoundError(f"{root}: no ADE20K here; looked for images/training in {searched}")


def open_split(split: str, data: Data, seed: int = 0) -> FileSource:
    """Open a split of the folder `data.root`, for the catalogue; the seed is not used."""
    assert data.root is not None  # the catalogue checks it
    return ade(data.root, split)
