"""VOC 2012 augmented with SBD: the list of training images, and one folder of masks for both splits."""

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from plopkit.datasets.download.mat import read_field
from plopkit.datasets.pictures import opened
from plopkit.datasets.scan import in_threads
from plopkit.datasets.voc import LISTS, MASKS, SPLITS, lists, stems_in
from plopkit.scenario import N_IDS
from plopkit.support.files import write_text
from plopkit.support.places import read_limited

LARGEST_MASK = 2**22  # bytes; they have 10,000


def augmented(base: Path) -> bool:
    """Whether a `VOC2012` folder has an augmented list, and an augmented mask of each image in it and in validation."""
    train, val = augmented_list(base), lists(base, "val")
    if not train or not val:
        return False
    return all((base / MASKS[0] / f"{stem}.png").is_file() for path in (train, val[0]) for stem in stems_in(path))


def augmented_list(base: Path) -> Path | None:
    """The augmented list of training images in a `VOC2012` folder; None if there is none."""
    return next((path for path in lists(base, "train") if "aug" in path.name), None)


def augment(base: Path, sbd: Path, threads: int | None = None) -> None:
    """Write `SegmentationClassAug` and `train_aug.txt` into a `VOC2012` folder.

    The training images are those of VOC and all of SBD, except VOC's validation images. VOC's masks are copied
    unchanged, with ignored pixels along the outlines; SBD's have none. Existing masks are kept, so that an interrupted
    call can be repeated, and so is an existing list.

    Args:
        base: The `VOC2012` folder.
        sbd: The folder `dataset` of SBD.
        threads: Number of threads; by default one per core, at most 16.

    Raises:
        FileNotFoundError: A file is missing. The message names it.
        ValueError: A file is damaged. The message names it.
    """
    train, val = (_stems(base / LISTS[0] / f"{split}.txt") for split in ("train", "val"))
    stems = sorted((train | _stems(sbd / "train.txt") | _stems(sbd / "val.txt")) - val)
    final = base / MASKS[0]
    # The reader uses the folder as soon as it has its final name, so it is renamed when it is complete.
    folder = final if final.is_dir() else base / f"{MASKS[0]}.part"
    folder.mkdir(exist_ok=True)
    palette = _palette(base / MASKS[1])

    def write(stem: str) -> None:
        part = folder / f".{stem}.part"
        if stem in train or stem in val:
            shutil.copyfile(_existing(base / MASKS[1] / f"{stem}.png"), part)
        else:
            values = read_mat(sbd / "cls" / f"{stem}.mat")
            _check_size(base / "JPEGImages" / f"{stem}.jpg", values, stem)
            picture = Image.fromarray(values)
            picture.putpalette(palette)
            picture.save(part, format="PNG")
        os.replace(part, folder / f"{stem}.png")

    missing = [stem for stem in (*stems, *sorted(val)) if not (folder / f"{stem}.png").is_file()]
    for _ in in_threads(write, missing, "augmented masks", threads):
        pass
    if not augmented_list(base):
        write_list(base, stems)
    if folder != final:
        os.replace(folder, final)


def write_list(base: Path, stems: list[str]) -> None:
    """Write the augmented list of a `VOC2012` folder."""
    write_text(base / LISTS[0] / SPLITS["train"][0], "".join(f"{stem}\n" for stem in stems))


def read_mat(path: Path) -> np.ndarray:
    """Read a mask of SBD: labels (H, W) uint8.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is not a mask of SBD.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, although SBD's lists name it; unpack benchmark.tgz again")
    content = read_limited(path, LARGEST_MASK, "a mask of SBD")
    try:
        values = read_field(content, "GTcls", "Segmentation")
    except ValueError as error:
        raise ValueError(f"{path}: not a readable SBD mask ({error}); unpack benchmark.tgz again") from error
    if values.max(initial=0) > 20:
        raise ValueError(
            f"{path}: not an SBD mask, which has 8-bit labels from 0 to 20 in two dimensions; "
            "unpack benchmark.tgz again"
        )
    return np.ascontiguousarray(values)


def _check_size(image: Path, values: np.ndarray, stem: str) -> None:
    with opened(_existing(image)) as picture:
        if picture.size != values.shape[::-1]:
            raise ValueError(
                f"{image} has {picture.size[0]} x {picture.size[1]} pixels, but SBD's mask {stem}.mat has "
                f"{values.shape[1]} x {values.shape[0]}; restore the image from VOC's archive"
            )


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing, although VOC's archive contains it; move VOC2012 away and get it again"
        )
    return path


def _stems(path: Path) -> set[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing, although its archive contains it; unpack the archive again")
    return set(stems_in(path))


def _palette(folder: Path) -> list[int]:
    """The palette of VOC's own masks, so that all masks look alike; SBD's `.mat` files have none."""
    for path in sorted(folder.glob("*.png"))[:1]:
        with opened(path) as picture:
            if colours := picture.getpalette("RGB"):
                return colours
    return [level for level in range(N_IDS) for _ in "RGB"]
