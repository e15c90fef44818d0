"""Photographs that no one took: files of a data set made on the spot, as large and as hard to decode as VOC's."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.subjects.remap import photograph_mask

VARIANTS = 24


def photograph(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Noise whose amplitude falls with frequency as in photographs, in correlated colours: uint8 (height, width, 3)."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    radius = np.hypot(fy, fx)
    radius[0, 0] = 1
    channels = []
    for _ in range(3):
        phases = np.exp(2j * np.pi * rng.random(radius.shape))
        channels.append(np.fft.irfft2(phases / radius**1.1, (height, width)))
    light, *chroma = (channel / channel.std() for channel in channels)
    colour = np.stack([light + 0.3 * chroma[0], light, light + 0.3 * chroma[1]], axis=2)
    return np.clip(118 + 55 * colour, 0, 255).astype(np.uint8)


def write_data_set(
    root: Path,
    train: int,
    val: int,
    size: tuple[int, int] = (375, 500),
    n_classes: int = 21,
    variants: int = VARIANTS,
    labels: Sequence[tuple[int, ...]] | None = None,
) -> Path:
    """A folder for `plopkit`'s data set "folder": photographs of size (height, width) and palette masks.

    Only `variants` pairs are made; the others are links to them, so that tens of thousands cost seconds. Pair i shows
    the labels `labels[i % len(labels)]`; by default 1 + i modulo the classes and the label after it.
    """
    rng = np.random.default_rng(0)
    made = root / "made"
    for name in ("images", "masks", "made"):
        (root / name).mkdir(parents=True, exist_ok=True)
    pairs = labels or [tuple(1 + (i + k) % (n_classes - 1) for k in (0, 1)) for i in range(variants)]
    for index, shown in enumerate(pairs):
        photo = Image.fromarray(photograph(rng, *size))
        photo.save(made / f"{index}.jpg", quality=91)  # a hundred kilobytes, as VOC's on average
        mask = Image.fromarray(photograph_mask(*size, shown, index))
        mask.putpalette(rng.integers(0, 256, 768, np.uint8).tobytes())
        mask.save(made / f"{index}.png")
    for split, count in (("train", train), ("val", val)):
        stems = [f"{split}_{index:06d}" for index in range(count)]
        for index, stem in enumerate(stems):
            source = made / str(index % len(pairs))
            _link(source.with_suffix(".jpg"), root / "images" / f"{stem}.jpg")
            _link(source.with_suffix(".png"), root / "masks" / f"{stem}.png")
        (root / f"{split}.txt").write_text("".join(f"{stem}\n" for stem in stems), encoding="utf-8")
    names = ["background", *(f"class {label}" for label in range(1, n_classes))]
    (root / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return root


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links, or too many to one file
        shutil.copyfile(source, target)
