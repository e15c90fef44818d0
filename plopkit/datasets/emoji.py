"""The built-in data set: VOC's 20 classes drawn with emoji on procedural backgrounds, with exact masks.

Graphics: Twemoji, copyright Twitter, Inc and other contributors, CC-BY 4.0. The files are in `data/twemoji`, unchanged.

A scene contains one to three objects of different classes. Validation requires *compositions* that training never
shows: two classes whose labels add up to a multiple of `HELD_OUT` never share a training scene, and every validation
scene with more than one object contains such a pair. Both splits use the same glyphs.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from plopkit.catalogue import DATASETS, Domains
from plopkit.datasets.emoji_styles import STYLES, styled
from plopkit.datasets.lookup import label_counts
from plopkit.datasets.source import Pair, Source
from plopkit.scenario import IGNORE
from plopkit.settings import Data
from plopkit.support import resources
from plopkit.support.moved import renamed

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


CREDIT = DATASETS["emoji"].credit
HELD_OUT = 5
KEPT_BYTES = 2**28  # of scenes that a source keeps: 7,281 of 96 pixels, 256 of 512
VERSION = (
    1  # part of the fingerprint: increase it whenever a change, also of the graphics, gives other pixels for a seed
)

GLYPHS = {
    "aeroplane": "2708 1f6e9",
    "bicycle": "1f6b2 1f6f4",
    "bird": "1f426 1f424 1f427 1f54a 1f985 1f986 1f989 1f99c",
    "boat": "26f5 1f6a4 1f6e5 1f6a2 26f4 1f6f6",
    "bottle": "1f37e 1f37c 1f9f4 1f376",
    "bus": "1f68c 1f68d 1f68e 1f690",
    "car": "1f697 1f698 1f699 1f695 1f696 1f693",
    "cat": "1f408 1f431 1f408-200d-2b1b 1f63a",
    "chair": "1fa91 1f4ba",
    "cow": "1f404 1f42e 1f402",
    "diningtable": "1f37d 1f371 1f372",
    "dog": "1f415 1f436 1f429 1f9ae",
    "horse": "1f40e 1f434 1f984",
    "motorbike": "1f3cd 1f6f5",
    "person": "1f9cd 1f6b6 1f9d1 1f469 1f468 1f475 1f474 1f3c3",
    "pottedplant": "1fab4 1f335 1f337 1f38d",
    "sheep": "1f411 1f40f",
    "sofa": "1f6cb 1f6cf",
    "train": "1f682 1f686 1f684 1f685 1f688 1f68a",
    "tvmonitor": "1f4fa 1f5a5 1f4bb",
}
"""Twemoji file stems of every class. A dining table is represented by a set table or a meal, a sofa also by a bed."""


class EmojiScenes(Source):
    """Emoji scenes: the same arguments give the same bytes.

    A scene is drawn when it is read, in about 1 ms at 96 pixels and 35 ms at 512. The first `KEPT_BYTES` of scenes are
    kept: where an epoch reads all scenes in a new order, a fixed part of them saves more than the latest would.

    Args:
        split: "train" or "val", which determines which pairs of classes may meet and which random numbers are drawn.
        count: Number of scenes.
        size: Height and width in pixels.
        seed: A different seed gives different scenes.
        domains: The domains that the scenes come from in turn, names in `STYLES`; () for scenes as they are drawn.

    Raises:
        ValueError: There is no such split or domain, or the scenes are too few or too small.

    Example:
        >>> EmojiScenes("train", 10, size=48).read(0).image.shape
        torch.Size([3, 48, 48])
    """

    def __init__(self, split: str, count: int, size: int = 96, seed: int = 0, domains: Sequence[str] = ()):
        if split not in ("train", "val"):
            raise ValueError(f"split is 'train' or 'val', not {split!r}")
        if count < 1 or size < 16:
            raise ValueError(f"emoji needs at least 1 scene of at least 16 pixels, not {count} of {size}")
        if unknown := sorted(set(domains) - set(STYLES)):
            raise ValueError(f"emoji has no domain {unknown[0]!r}; possible: {', '.join(STYLES)}")
        self.classes = resources.class_names("voc")
        self.stems = tuple(f"{split}-{index:05d}" for index in range(count))
        self.credit = CREDIT
        self.fingerprint = "-".join(map(str, ("emoji", VERSION, split, count, size, seed, *domains)))
        self.domains = tuple(domains[index % len(domains)] for index in range(count)) if domains else ()
        self._n_domains = max(1, len(domains))
        self.split, self.size, self.seed = split, size, seed
        self._kept: list[Pair | None] = [None] * count
        self._room = KEPT_BYTES // (4 * size**2)  # for scenes of three bytes of colour and one of label per pixel

    @property
    def cache_key(self) -> str:
        versions = "-".join(f"{name}-{version(name)}" for name in ("numpy", "pillow"))
        return f"{self.fingerprint}-{versions}"

    def read(self, index: int) -> Pair:
        pair = self._kept[index]
        if pair is None:  # if two threads draw the same scene, they draw the same bytes
            rng = np.random.default_rng([self.seed, self.split == "val", index])
            image, mask = draw_scene(rng, self.split, 1 + index // self._n_domains % len(GLYPHS), self.size)
            if self.domains:
                image = styled(image, self.domains[index], rng)
            pair = Pair(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask))
            if self._room > 0:
                self._kept[index] = pair
                self._room -= 1
        return pair

    def stored_bytes(self, index: int) -> int:
        return 4 * self.size**2

    def labels(self, index: int) -> frozenset[int]:
        return frozenset(label_counts(self.read(index).mask).nonzero()[0].tolist())


def held_out(a: int, b: int) -> bool:
    """Whether labels a and b may meet in validation scenes only."""
    return (a + b) % HELD_OUT == 0


def choose_labels(rng: np.random.Generator, split: str, first: int, count: int) -> list[int]:
    """Draw the labels of a scene.

    Args:
        rng: Source of randomness.
        split: "train" or "val".
        first: The label of the first object.
        count: Number of objects.

    Returns:
        `count` different labels that may meet in this split, beginning with `first`.
    """
    labels = [first]
    for label in (1 + rng.permutation(len(GLYPHS))).tolist():
        if len(labels) == count:
            break
        if split == "train":
            fits = not any(held_out(label, other) for other in labels)
        else:  # the second object completes a held-out pair, the third is arbitrary
            fits = len(labels) > 1 or held_out(label, first)
        if label not in labels and fits:
            labels.append(label)
    return labels


def draw_scene(rng: np.random.Generator, split: str, first: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene that contains the label `first`: image (size, size, 3) and mask (size, size), both uint8."""
    count = int(rng.choice([1, 2, 3], p=[0.4, 0.4, 0.2]))
    labels = choose_labels(rng, split, first, count)
    image = background(rng, size).astype(np.float32)
    mask = np.zeros((size, size), np.uint8)
    side = size * (0.9, 0.72, 0.58)[count - 1]
    for label in rng.permutation(labels):
        glyph = transformed_glyph(rng, int(label), side * rng.uniform(0.75, 1.1))
        # Of three places take the one that covers least, so that objects overlap but rarely vanish.
        placed = min(
            (place(rng, glyph, size) for _ in range(3)),
            key=lambda canvas: int((mask[canvas[..., 3] >= 128] > 0).sum()),
        )
        alpha = placed[..., 3:].astype(np.float32) / 255
        image += alpha * (placed[..., :3] - image)
        mask[placed[..., 3] >= 128] = label
    return image.round().astype(np.uint8), with_border(mask)


def transformed_glyph(rng: np.random.Generator, label: int, side: float) -> Image.Image:
    """Draw a glyph of a label, about `side` pixels in size, and flip, stretch and rotate it slightly."""
    names = list(GLYPHS.values())[label - 1].split()
    glyph = glyph_image(names[rng.integers(len(names))])
    if rng.random() < 0.5:
        glyph = glyph.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    stretch = rng.uniform(0.85, 1.15)
    glyph = glyph.resize((max(4, round(side * stretch)), max(4, round(side / stretch))), Image.Resampling.BILINEAR)
    return glyph.rotate(rng.uniform(-25, 25), Image.Resampling.BILINEAR, expand=True)


def place(rng: np.random.Generator, glyph: Image.Image, size: int) -> np.ndarray:
    """Put a glyph at a random position on an empty canvas (size, size, 4) uint8, at most a tenth of it outside."""
    canvas = Image.new("RGBA", (size, size))
    corner = [int(rng.uniform(-0.1 * extent, max(size - 0.9 * extent, 0.1))) for extent in glyph.size]
    canvas.paste(glyph, (corner[0], corner[1]))
    return np.asarray(canvas)


@lru_cache(maxsize=256)
def glyph_image(stem: str) -> Image.Image:
    """The 72-pixel RGBA graphic without its empty margin."""
    image = Image.open(resources.path(f"twemoji/{stem}.png")).convert("RGBA")
    return image.crop(image.getchannel("A").getbbox())


def background(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a gradient, stripes, tiles, dots or blobs in two random colours, with some noise; float (size, size, 3)."""
    y, x = np.mgrid[:size, :size] / size
    angle, scale = rng.uniform(0, 2 * np.pi), rng.uniform(2, 9)
    along = np.cos(angle) * x + np.sin(angle) * y
    across = np.cos(angle) * y - np.sin(angle) * x
    kind = rng.integers(5)
    if kind == 0:
        share = (along - along.min()) / np.ptp(along)
    elif kind == 1:
        share = 0.5 + 0.5 * np.sin(2 * np.pi * scale * along)
    elif kind == 2:
        share = (np.floor(scale * along) + np.floor(scale * across)) % 2
    elif kind == 3:
        share = ((scale * along) % 1 - 0.5) ** 2 + ((scale * across) % 1 - 0.5) ** 2 < rng.uniform(0.02, 0.15)
    else:
        side = int(rng.integers(3, 9))
        coarse = Image.fromarray((255 * rng.random((side, side))).astype(np.uint8))
        share = np.asarray(coarse.resize((size, size), Image.Resampling.BICUBIC)) / 255
    share = np.asarray(share, np.float64)[..., None]
    colours = rng.uniform(0, 255, (2, 3))
    image = colours[0] + share * (colours[1] - colours[0])
    return np.clip(image + rng.normal(0, rng.uniform(0, 8), image.shape), 0, 255)


def with_border(mask: np.ndarray) -> np.ndarray:
    """Set outlines to 255, as in VOC's masks: pixels that differ from their neighbour above or to the left."""
    edge = np.zeros(mask.shape, bool)
    edge[1:] |= mask[1:] != mask[:-1]
    edge[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    return np.where(edge, np.uint8(IGNORE), mask)


@lru_cache(maxsize=4)  # so that all methods in one kernel share the scenes
def _scenes(split: str, count: int, size: int, seed: int, domains: tuple[str, ...] = ()) -> EmojiScenes:
    return EmojiScenes(split, count, size, seed, domains)


def open_split(split: str, data: Data, seed: int = 0) -> EmojiScenes:
    """Draw `data.scenes` (train) or `data.val_scenes` (val) scenes of `data.size` pixels, for the catalogue."""
    return _scenes(split, _count(split, data), data.size, seed)


def open_domains(split: str, data: Data, seed: int, domains: Domains) -> EmojiScenes:
    """The same for the protocol `domain`: as many scenes, which come from the domains of all steps in turn."""
    return _scenes(split, _count(split, data), data.size, seed, tuple(domain for step in domains for domain in step))


def _count(split: str, data: Data) -> int:
    return data.scenes if split == "train" else data.val_scenes
