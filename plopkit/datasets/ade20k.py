"""ADE20K as its scene parsing challenge of 2016 gave it out: 150 classes, and label 0 for all that has none."""

from pathlib import Path

from plopkit.datasets.files import FileSource
from plopkit.settings import Data
from plopkit.support import resources

FOLDERS = {"train": "training", "val": "validation"}


def ade(root: Path, split: str) -> FileSource:
    """The split ("train" or "val") of an ``ADEChallengeData2016``, or of the folder that holds it.

    Its label 0, "void", counts as background, as in the released code. FileNotFoundError tells what is missing.
    """
    base = ade_base(root)
    images, masks = (base / kind / FOLDERS[split] for kind in ("images", "annotations"))
    for folder in (images, masks):
        if not folder.is_dir():
            raise FileNotFoundError(f"{folder}: no such folder; ADE20K has images/ and annotations/ for both splits")
    stems = sorted(path.stem for path in images.glob("*.jpg"))
    if not stems:
        raise FileNotFoundError(f"{images}: no *.jpg in it; unpack ADEChallengeData2016.zip again")
    return FileSource(
        resources.class_names("ade"),
        stems,
        [images / f"{stem}.jpg" for stem in stems],
        [masks / f"{stem}.png" for stem in stems],
    )


def ade_base(root: Path) -> Path:
    """The ``ADEChallengeData2016`` folder that ``root`` means."""
    tried = (root, root / "ADEChallengeData2016")
    for base in tried:
        if (base / "images" / FOLDERS["train"]).is_dir():
            return base
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; data.root must be an ADEChallengeData2016 folder")
    raise FileNotFoundError(f"{root}: no ADE20K here; looked for images/training in {', '.join(map(str, tried))}")


def open_split(split: str, data: Data, seed: int = 0) -> FileSource:
    """The catalogue's opener: `ade` in `data.root`."""
    assert data.root is not None  # the catalogue has asked for it
    return ade(data.root, split)
