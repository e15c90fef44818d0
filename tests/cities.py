"""A small Cityscapes in the layout of the real one."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from plopkit.catalogue import DATASETS

IMAGES = {
    "train": {"aachen": 6, "bremen": 5, "zurich": 4},
    "val": {"frankfurt": 5, "lindau": 6, "munster": 7},
}


def all_cities(count: int = 3) -> dict[str, dict[str, int]]:
    """This number of images of every city."""
    cities = DATASETS["cityscapes"].domains
    return {"train": dict.fromkeys(cities[:-3], count), "val": dict.fromkeys(cities[-3:], count)}


def write_cityscapes(root: Path, images: Mapping[str, Mapping[str, int]] = IMAGES) -> Path:
    """Images of 24 x 48 pixels and masks of label ids: a stripe for every id from 0 to 33."""
    for folder, cities in images.items():
        for city, count in cities.items():
            for index in range(count):
                stem = f"{city}_{index // 3:06d}_{(7 * index) % 100:06d}"
                write_city_image(root, folder, city, stem, index)
    return root


def write_city_image(root: Path, folder: str, city: str, stem: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = np.roll(np.arange(48) % 34, seed)[None].repeat(24, 0).astype(np.uint8)
    image = root / "leftImg8bit" / folder / city / f"{stem}_leftImg8bit.png"
    mask = root / "gtFine" / folder / city / f"{stem}_gtFine_labelIds.png"
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 256, (24, 48, 3), np.uint8)).save(image)
    Image.fromarray(ids).save(mask)
    (mask.with_name(f"{stem}_gtFine_instanceIds.png")).write_bytes(b"not read")
