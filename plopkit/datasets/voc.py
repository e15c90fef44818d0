"""PASCAL VOC 2012 (with or without SBD's masks) in its own layout."""

from pathlib import Path

from plopkit import facts
from plopkit.datasets.files import FileSource, read_stems

MASKS = ("SegmentationClassAug", "SegmentationClass")
SPLITS = {"train": ("train_aug.txt", "trainaug.txt", "train.txt"), "val": ("val.txt",)}


def voc(root: Path, split: str) -> FileSource:
    """The split ("train" or "val") of a ``VOCdevkit/VOC2012``, or of the folder that holds ``VOCdevkit``.

    Augmented masks and lists are taken where they are, VOC's own otherwise. FileNotFoundError tells what is missing.
    """
    base = voc_base(root)
    folders = [base / name for name in MASKS if (base / name).is_dir()]
    if not folders:
        raise FileNotFoundError(f"{base}: no masks; one of the folders {' or '.join(MASKS)} is needed")
    places = (base / "ImageSets" / "Segmentation", base / "splits")  # VOC's, and that of the released repositories
    lists = [place / name for name in SPLITS[split] for place in places]
    # The augmented list names images that only the augmented masks cover.
    usable = [path for path in lists if path.is_file() and (folders[0].name == MASKS[0] or "aug" not in path.name)]
    if not usable:
        raise FileNotFoundError(
            f"{lists[0].parent}: no {split} list; one of {', '.join(SPLITS[split])} is needed there or in splits"
        )
    stems = [Path(stem).stem for stem in read_stems(usable[0])]
    images = [base / "JPEGImages" / f"{stem}.jpg" for stem in stems]
    return FileSource(facts.class_names("voc"), stems, images, [folders[0] / f"{stem}.png" for stem in stems])


def voc_base(root: Path) -> Path:
    """The ``VOC2012`` folder that ``root`` means."""
    tried = (root, root / "VOC2012", root / "VOCdevkit" / "VOC2012")
    for base in tried:
        if (base / "JPEGImages").is_dir():
            return base
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; data.root must be a VOC 2012 folder")
    raise FileNotFoundError(f"{root}: no VOC 2012 here; looked for JPEGImages in {', '.join(map(str, tried))}")
