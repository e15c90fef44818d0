"""A small data set of drawn shapes, written as a user's own folder: images, masks and three text files."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageDraw

from plopkit.support.files import atomic_write, make_folder

NAMES = ("background", "disc", "square", "triangle", "star")
"""The names of the labels."""
SMALL_PICTURES = {
    "laptop": {
        "data.size": 96,
        "data.scale": (0.5, 1.0),
        "optim.lr": 2e-3,
        "optim.lr_later": 2e-3,
        "optim.epochs": 12,
        "optim.min_iterations": 150,
    }
}
"""By preset: settings for few and small pictures; the presets are made for photographs."""
COLOURS = ((128, 128, 128), (200, 60, 50), (60, 90, 210), (60, 170, 80), (230, 200, 50))
"""Of the labels, around which their shapes vary: small nets learn colours sooner than outlines."""

Pair = NamedTuple("Pair", [("image", UInt8[np.ndarray, "H W 3"]), ("mask", UInt8[np.ndarray, "H W"])])
"""A picture and the label of each of its pixels."""


def draw_folder(
    root: Path,
    labels: Sequence[int],
    only: int | None = None,
    n_train: int = 128,
    n_val: int = 32,
    size: int = 96,
    seed: int = 0,
) -> Path:
    """Write a data set that shows some of the shapes. What is there already stays as it is.

    Args:
        root: the data set's folder.
        labels: of the shapes that its pictures show; the names up to the largest are in `classes.txt`.
        only: a label that each picture shows, and the only one in the masks; other shapes are background there.
        n_train: number of training pictures.
        n_val: number of validation pictures.
        size: height and width in pixels.
        seed: another seed gives other pictures.

    Returns:
        `root`.

    Raises:
        ValueError: the folder holds a data set of other classes.
    """
    names = "\n".join(NAMES[: max(labels) + 1]) + "\n"
    classes = root / "classes.txt"
    if classes.exists() and classes.read_text(encoding="utf-8") != names:
        raise ValueError(f"{classes}: another data set is in this folder; name another folder for the shapes")
    for name in ("images", "masks"):
        make_folder(root / name)
    for split, count in (("train", n_train), ("val", n_val)):
        stems = [f"{split}-{index:03d}" for index in range(count)]
        for index, stem in enumerate(stems):
            image, mask = root / "images" / f"{stem}.png", root / "masks" / f"{stem}.png"
            if not (image.is_file() and mask.is_file()):
                pair = a_picture(labels, (size, size), [seed, split == "val", index], always=only)
                labelled = pair.mask if only is None else np.where(pair.mask == only, pair.mask, np.uint8(0))
                for path, pixels in ((image, pair.image), (mask, labelled)):
                    if not path.is_file():
                        _write(path, pixels)
        _write_text(root / f"{split}.txt", "\n".join(stems) + "\n")
    _write_text(classes, names)
    return root


def repaint(path: Path, label: int) -> None:
    """Replace the largest label of a mask by another one, as a slip in a drawing program does."""
    mask = np.asarray(Image.open(path))
    _write(path, np.where(mask == mask.max(), np.uint8(label), mask))


def a_picture(
    labels: Sequence[int],
    shape: tuple[int, int],
    seed: Sequence[int],
    n_shapes: int | None = None,
    always: int | None = None,
) -> Pair:
    """Shapes of different labels on a grey ground, each in shades of its label's own colour.

    Args:
        labels: which may be drawn.
        shape: height and width in pixels.
        seed: of the random numbers.
        n_shapes: how many are drawn; None for one or two.
        always: a label that is drawn in any case.
    """
    rng = np.random.default_rng(seed)
    height, width = shape
    ground = np.linspace(*rng.uniform(40, 220, 2), width)[None, :, None] + rng.normal(0, 12, (height, width, 3))
    image = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    mask = Image.new("L", (width, height))
    on_image, on_mask = ImageDraw.Draw(image), ImageDraw.Draw(mask)
    order = sorted(rng.permutation(labels).tolist(), key=lambda label: label != always)
    for label in order[: n_shapes or rng.integers(1, 3)]:
        radius = min(shape) * rng.uniform(0.16, 0.26)
        centre = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
        points = outline(label, centre, radius, rng.uniform(0, 2 * math.pi))
        shade = np.clip(np.array(COLOURS[label]) + rng.normal(0, 30, 3), 0, 255).astype(int)
        on_image.polygon(points, fill=tuple(shade.tolist()))
        on_mask.polygon(points, fill=label)
    return Pair(np.asarray(image), np.asarray(mask))


def outline(label: int, centre: tuple[float, float], radius: float, turn: float) -> list[tuple[float, float]]:
    """The corners of a shape: a disc has 40, a square 4, a triangle 3, and a star 10, every other one further inside."""
    n_corners = {"disc": 40, "square": 4, "triangle": 3, "star": 10}[NAMES[label]]
    points = []
    for corner in range(n_corners):
        angle = turn + 2 * math.pi * corner / n_corners
        reach = radius * (0.45 if NAMES[label] == "star" and corner % 2 else 1.0)
        points.append((centre[0] + reach * math.cos(angle), centre[1] + reach * math.sin(angle)))
    return points


def _write(path: Path, pixels: np.ndarray) -> None:
    with atomic_write(path) as part:
        Image.fromarray(pixels).save(part, format="png")


def _write_text(path: Path, text: str) -> None:
    if not path.exists():
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
