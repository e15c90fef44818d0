"""Cityscapes in its own layout: `leftImg8bit/` and `gtFine/`, each with `train/` and `val/` and a folder for each city.

Label 0 is everything without a train-id, label t + 1 the train-id t. So channel 0 is what is unlabelled where classes
are learnt step by step, and road (train-id 0) in the protocol `domain`, which ignores unlabelled pixels.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from plopkit.catalogue import Domains
from plopkit.datasets.files import FileSource
from plopkit.scenario import N_IDS
from plopkit.settings import Data
from plopkit.support import resources
from plopkit.support.places import expanded

FOLDERS = ("train", "val")
IMAGES, MASKS = "leftImg8bit", "gtFine"
IMAGE_END, MASK_END = "_leftImg8bit.png", "_gtFine_labelIds.png"
TRAINED_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""The label ids of the files that have a train-id, in the order of train-ids."""
N_FILE_IDS = 34
COUNTS = {"train": 2975, "val": 500}
"""Number of images in Cityscapes' own splits."""
TRAIN_SHARE = 0.8
"""Share of a step's images that are trained on in the protocol `domain`."""
WHERE = (
    "Cityscapes is given out by its makers alone: register at https://www.cityscapes-dataset.com, download "
    "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip there, and unpack both into one folder"
)


def labels_of_ids() -> np.ndarray:
    """The label of each id in the files: (256,) uint8. Ids that Cityscapes does not have stay, and are refused."""
    table = np.arange(N_IDS, dtype=np.uint8)
    table[:N_FILE_IDS] = 0
    table[list(TRAINED_IDS)] = np.arange(1, len(TRAINED_IDS) + 1)
    return table


def cityscapes(root: Path, split: str) -> FileSource:
    """Open one of Cityscapes' own splits, which the class-incremental protocols use.

    Args:
        root: The folder that contains `leftImg8bit/` and `gtFine/`.
        split: "train" or "val".

    Raises:
        FileNotFoundError: A folder, image or mask is missing. The message names it, and says where to ask for the data.
    """
    base = cityscapes_base(root)
    images = [image for _, names in sorted(images_by_city(base, split).items()) for image in names]
    if not images:
        raise FileNotFoundError(f"{base / IMAGES / split}: it contains no */*{IMAGE_END}; {WHERE}")
    return source(base, images)


def domains_of_cityscapes(root: Path, split: str, domains: Domains) -> FileSource:
    """Open the images of the protocol `domain`: each step's own, split by chance into training and validation.

    Args:
        root: As for `cityscapes`.
        split: "train" or "val".
        domains: The cities that each step learns. Cityscapes' own splits do not matter: a city has all its images.

    Raises:
        FileNotFoundError: As for `cityscapes`, or where a city is missing.
    """
    base = cityscapes_base(root)
    by_city = {folder: images_by_city(base, folder) for folder in FOLDERS}
    images = []
    for cities in domains:
        for city in cities:
            if not any(city in folder for folder in by_city.values()):
                raise FileNotFoundError(f"{base / IMAGES}: no images of the city {city!r}, a domain; {WHERE}")
        images += parts_of_step(by_city, cities)[FOLDERS.index(split)]
    opened = source(base, images)
    opened.domains = tuple(Path(image).parent.name for image in images)
    return opened


def parts_of_step(by_city: Mapping[str, Mapping[str, Sequence[str]]], cities: Sequence[str]) -> tuple[list[str], ...]:
    """The training and the validation images of a step, as in the released code.

    The images of Cityscapes' training cities by path, then those of its validation cities, are shuffled by numpy's
    `RandomState(1)`; the first 80 %, rounded down, are trained on.
    """
    images = [image for folder in FOLDERS for city in sorted(cities) for image in by_city[folder].get(city, ())]
    order = np.random.RandomState(1).permutation(len(images))
    shuffled = [images[index] for index in order]
    n_train = int(TRAIN_SHARE * len(images))
    return shuffled[:n_train], shuffled[n_train:]


def images_by_city(base: Path, folder: str) -> dict[str, list[str]]:
    """The images in `leftImg8bit/train` or `val`, by city: their paths below `leftImg8bit` without ending, sorted."""
    place = base / IMAGES / folder
    cities = sorted(entry.name for entry in os.scandir(place) if entry.is_dir()) if place.is_dir() else []
    found = {
        city: [
            f"{folder}/{city}/{name.removesuffix(IMAGE_END)}"
            for name in sorted(os.listdir(place / city))
            if name.endswith(IMAGE_END)
        ]
        for city in cities
    }
    return {city: images for city, images in found.items() if images}


def source(base: Path, images: Sequence[str]) -> FileSource:
    """The images and masks of these paths below `leftImg8bit` and `gtFine`."""
    return FileSource(
        resources.class_names("cityscapes"),
        [image.rpartition("/")[2] for image in images],
        [base / IMAGES / f"{image}{IMAGE_END}" for image in images],
        [base / MASKS / f"{image}{MASK_END}" for image in images],
        labels_of_ids(),
    )


def cityscapes_base(root: Path) -> Path:
    """The folder in or at `root` that contains `leftImg8bit/` and `gtFine/`.

    Raises:
        FileNotFoundError: There is none. The message says what is missing, and where to ask for it.
    """
    root = expanded(root)
    if not root.is_dir():
        raise FileNotFoundError(f"{root}: no such folder; data.root must contain {IMAGES}/ and {MASKS}/. {WHERE}")
    candidates = (root, root / "cityscapes")
    base = next((place for place in candidates if (place / IMAGES).is_dir()), root)
    if missing := [name for name in (IMAGES, MASKS) if not (base / name).is_dir()]:
        raise FileNotFoundError(f"{base}: it contains no {'/ and no '.join(missing)}/. {WHERE}")
    return base


def look_for(dataset: str, root: Path, urls: Mapping[str, str], any_archive: bool = False) -> str:
    """The catalogue's downloader, which downloads nothing: it says what is there, or where to ask for it.

    Raises:
        ValueError: Images are missing.
        FileNotFoundError: Folders are, or a mask is.
    """
    base = cityscapes_base(root)
    counts = {split: len(cityscapes(base, split)) for split in FOLDERS}
    if counts != COUNTS:
        words = " and ".join(f"{counts[split]:,} of {COUNTS[split]:,} images in {split}/" for split in FOLDERS)
        raise ValueError(f"{base}: {dataset} is not complete: {words}. {WHERE}")
    return f"{base}: {COUNTS['train']:,} training and {COUNTS['val']:,} validation images, as expected"


def open_split(split: str, data: Data, seed: int = 0) -> FileSource:
    """Open a split of the folder `data.root`, for the catalogue; the seed is not used."""
    assert data.root is not None  # the catalogue checks it
    return cityscapes(data.root, split)


def open_domains(split: str, data: Data, seed: int, domains: Domains) -> FileSource:
    """The same for the protocol `domain`; the seed is not used either."""
    assert data.root is not None
    return domains_of_cityscapes(data.root, split, domains)
