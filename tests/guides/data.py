"""The folders that the guide to one's own data looks at."""

from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 64


def prepare(folder: Path) -> None:
    """Write `mine/`, of three classes, and `binary/`, of one whose masks hold 0 and 255."""
    _write(folder / "mine", ("background", "disc", "square", "bar"))
    _write(folder / "binary", ("background", "thing"))


def _write(root: Path, names: tuple[str, ...]) -> None:
    for kind in ("images", "masks"):
        (root / kind).mkdir(parents=True)
    random = np.random.default_rng(0)
    for split, count in (("train", 16), ("val", 4)):
        stems = [f"{split} {index}" for index in range(count)]
        for index, stem in enumerate(stems):
            labels = [0, *(1 + (index + k) % 3 for k in (0, 1))]
            mask = np.repeat(np.array(labels, np.uint8)[np.arange(SIDE) * 3 // SIDE][None], SIDE, 0)
            image = 60 * mask[..., None] + random.integers(0, 40, (SIDE, SIDE, 3))
            Image.fromarray(image.astype(np.uint8)).save(root / "images" / f"{stem}.jpg")
            Image.fromarray(mask if len(names) > 2 else 255 * (mask > 0).astype(np.uint8)).save(
                root / "masks" / f"{stem}.png"
            )
        (root / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    (root / "classes.txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
