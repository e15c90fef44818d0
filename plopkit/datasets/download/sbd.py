"""VOC 2012 augmented by SBD: the list of training images, and one folder of masks for both splits."""

import os
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from plopkit.datasets.scan import in_threads
from plopkit.datasets.voc import LISTS, MASKS, SPLITS, listed, lists
from plopkit.support.files import write_text


def augmented(base: Path) -> bool:
    """Has this ``VOC2012`` an augmented list, and an augmented mask for every image of it and of the validation?"""
    train, val = augmented_list(base), lists(base, "val")
    if not train or not val:
        return False
    return all((base / MASKS[0] / f"{stem}.png").is_file() for path in (train, val[0]) for stem in listed(path))


def augmented_list(base: Path) -> Path | None:
    """The augmented list of training images in a ``VOC2012``; None where there is none."""
    return next((path for path in lists(base, "train") if "aug" in path.name), None)


def augment(base: Path, sbd: Path, threads: int | None = None) -> None:
    """Write ``SegmentationClassAug`` and ``train_aug.txt`` into a ``VOC2012``, from SBD's ``dataset`` folder.

    The training images are VOC's and all of SBD's, those of VOC's validation left out. Masks of VOC are copied as they
    are, with the 255 along their outlines; SBD's have none. Masks that are there already are kept, so a call that was
    stopped goes on; so is a list. FileNotFoundError and ValueError name the file that is missing or broken.
    """
    train, val = (_stems(base / LISTS[0] / f"{split}.txt") for split in ("train", "val"))
    stems = sorted((train | _stems(sbd / "train.txt") | _stems(sbd / "val.txt")) - val)
    final = base / MASKS[0]
    # The reader takes the folder as soon as it has its name: it gets it when it is complete.
    folder = final if final.is_dir() else base / f"{MASKS[0]}.part"
    folder.mkdir(exist_ok=True)
    palette = _palette(base / MASKS[1])

    def write(stem: str) -> None:
        part = folder / f".{stem}.part"
        if stem in train or stem in val:
            shutil.copyfile(_of_voc(base / MASKS[1] / f"{stem}.png"), part)
        else:
            values = read_mat(sbd / "cls" / f"{stem}.mat")
            _check_size(base / "JPEGImages" / f"{stem}.jpg", values, stem)
            picture = Image.fromarray(values)
            picture.putpalette(palette)
            picture.save(part, format="PNG")
        os.replace(part, folder / f"{stem}.png")

    todo = [stem for stem in (*stems, *sorted(val)) if not (folder / f"{stem}.png").is_file()]
    for _ in in_threads(write, todo, "augmented masks", threads):
        pass
    if not augmented_list(base):
        write_list(base, stems)
    if folder != final:
        os.replace(folder, final)


def write_list(base: Path, stems: list[str]) -> None:
    """Write the augmented list of a ``VOC2012``."""
    write_text(base / LISTS[0] / SPLITS["train"][0], "".join(f"{stem}\n" for stem in stems))


def read_mat(path: Path) -> np.ndarray:
    """The labels (H, W) uint8 of a mask of SBD; ValueError naming the file where it is none."""
    from scipy.io import loadmat  # a tenth of a second: not for every reader of a data set

    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; SBD's lists name it: unpack benchmark.tgz again")
    try:
        values = loadmat(path, variable_names=["GTcls"])["GTcls"]["Segmentation"][0, 0]
    except Exception as error:  # a broken file makes loadmat raise almost anything
        raise ValueError(f"{path}: not a readable mask of SBD ({error}); unpack benchmark.tgz again") from error
    if values.ndim != 2 or values.dtype != np.uint8 or values.max(initial=0) > 20:
        raise ValueError(f"{path}: not a mask of SBD: 8-bit labels of 0 to 20 in two dimensions; unpack it again")
    return np.ascontiguousarray(values)


def _check_size(image: Path, values: np.ndarray, stem: str) -> None:
    with Image.open(_of_voc(image)) as picture:
        if picture.size != values.shape[::-1]:
            raise ValueError(
                f"{image} is {picture.size[0]} x {picture.size[1]} pixels, SBD's mask {stem}.mat "
                f"{values.shape[1]} x {values.shape[0]}; they must be equal: was the image replaced?"
            )


def _of_voc(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; VOC's archive holds it: move VOC2012 away and get it again")
    return path


def _stems(path: Path) -> set[str]:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing; the archive that it comes from holds it: unpack that again")
    return set(listed(path))


def _palette(folder: Path) -> list[int]:
    """The palette of VOC's own masks, so that all look alike; ``.mat`` files have none."""
    for path in sorted(folder.glob("*.png"))[:1]:
        with Image.open(path) as picture:
            if colours := picture.getpalette("RGB"):
                return colours
    return [level for level in range(256) for _ in "RGB"]
