"""A user's data set of 300 labels, with masks of 16 bits."""

from pathlib import Path

import numpy as np
from picture_files import save_mask
from PIL import Image

from plopkit.scenario import WIDE_IGNORE

N = 300


def stripes(index: int) -> np.ndarray:
    """The mask of an image, (30, 40): background, an early label, 255, a late one, ignored pixels."""
    labels = np.array([0, 1 + index % 254, 255, 256 + index % 44, WIDE_IGNORE], np.uint16)
    return labels.repeat(8)[None].repeat(30, 0)


def write_wide_folder(root: Path) -> Path:
    """Eight training and four validation images; image i of a split has the mask ``stripes(i)``."""
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for split, count in (("train", 8), ("val", 4)):
        stems = [f"{split}-{index}" for index in range(count)]
        for index, stem in enumerate(stems):
            colours = np.random.default_rng(index).integers(0, 256, (30, 40, 3), np.uint8)
            Image.fromarray(colours).save(root / "images" / f"{stem}.png")
            save_mask(root / "masks" / f"{stem}.png", stripes(index))
        (root / f"{split}.txt").write_text("\n".join(stems), encoding="utf-8")
    (root / "classes.txt").write_text("".join(f"class {label}\n" for label in range(N)), encoding="utf-8")
    return root
