"""Saliency maps next to training images: which pixels of the background show something, for SSUL."""

import hashlib
from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt16

from plopkit.datasets.contents import place_key
from plopkit.datasets.listing import file_states
from plopkit.datasets.pictures import opened, pixels
from plopkit.datasets.scan import cache_folder, in_threads, load_table, save_table
from plopkit.datasets.source import Pair, Source
from plopkit.scenario import IGNORE, WIDE_IGNORE

SALIENT = 2**15
"""Added to the label of a salient pixel while its mask is cropped, resized and flipped."""


class SaliencyMaps:
    """A folder of maps, ``<name>.png`` for the image of this name: a pixel is salient where the map is not 0.

    Args:
        folder: the folder.
        stems: the name of each image.

    Raises:
        FileNotFoundError: an image has no map; names the first.
    """

    def __init__(self, folder: Path, stems: Sequence[str]):
        self.paths = [folder / f"{stem}.png" for stem in stems]
        self._states = file_states(list(map(str, self.paths)))
        if missing := [path for path, state in zip(self.paths, self._states, strict=True) if state is None]:
            raise FileNotFoundError(
                f"{missing[0]}: no such saliency map; data.saliency names a folder with a PNG for each of the "
                f"{len(self.paths)} training images, and {len(missing)} are missing"
            )

    def check(self, source: Source) -> None:
        """Read each map, next to its image: better now than in the middle of training. Once done, it is noted in the
        cache and not done again for the same files.

        Args:
            source: The images.

        Raises:
            ValueError: a map cannot be read, or has another size than its image. The message names it.
        """
        key = place_key(filter(None, self._states), source.cache_key.encode())
        note = (folder := cache_folder()) and folder / f"maps-{key}.npz"
        if load_table(note, (), np.bool_) is None:
            for _ in in_threads(partial(self._check_one, source), range(len(self.paths)), "checking saliency maps"):
                pass
            save_table(note, np.array(True), "the saliency maps will be checked again")

    def _check_one(self, source: Source, index: int) -> None:
        self.marked(index, source.read(index))

    @cached_property
    def fingerprint(self) -> str:
        """A digest of all maps."""
        found = hashlib.blake2b(digest_size=8)
        for path in self.paths:
            found.update(hashlib.blake2b(path.read_bytes()).digest())
        return found.hexdigest()

    def read(self, index: int) -> Bool[np.ndarray, "H W"]:
        """Which pixels of an image are salient.

        Raises:
            ValueError: the map cannot be read. The message names it.
        """
        with opened(self.paths[index]) as picture:
            return pixels(picture, self.paths[index], "L") != 0

    def marked(self, index: int, pair: Pair) -> Pair:
        """The pair with `SALIENT` added to the labels of salient pixels, its mask of 16 bits.

        Raises:
            ValueError: the map cannot be read, or has another size than the image.
        """
        salient = self.read(index)
        if salient.shape != pair.mask.shape:
            raise ValueError(
                f"{self.paths[index]}: a saliency map of {salient.shape[1]} x {salient.shape[0]} pixels for an image "
                f"of {pair.mask.shape[1]} x {pair.mask.shape[0]}"
            )
        labels: UInt16[np.ndarray, "H W"] = pair.mask.numpy().astype(np.uint16)
        return Pair(pair.image, torch.from_numpy(labels + SALIENT * salient.astype(np.uint16)))


def fingerprint_with_maps(images: str, maps: SaliencyMaps | None) -> str:
    """Changes whenever a training image, its mask or its saliency map changes.

    Args:
        images: the fingerprint of the images and masks.
        maps: the maps, if there are any.
    """
    return images if maps is None else f"{images}+{maps.fingerprint}"


def salient_table(lookup: np.ndarray, salient: np.ndarray) -> np.ndarray:
    """The lookup table of a marked mask: (65536,), of the same type.

    Args:
        lookup: target of each label.
        salient: target of each label's salient pixels.

    Raises:
        ValueError: there are too many labels for the mark.
    """
    if len(lookup) != IGNORE + 1:
        raise ValueError("saliency maps are for data sets of at most 255 labels")
    table = np.full(WIDE_IGNORE + 1, IGNORE, lookup.dtype)
    table[: len(lookup)], table[SALIENT : SALIENT + len(salient)] = lookup, salient
    return table
