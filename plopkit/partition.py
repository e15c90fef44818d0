"""The protocol `partitioned`: each image belongs to one of the classes that it shows."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def assign_classes(presence: npt.NDArray[np.bool_], stems: Sequence[str], seed: int) -> npt.NDArray[np.bool_]:
    """Give each image to one of the classes that it shows, uniformly at random: the protocol `partitioned`.

    The class depends on the seed, the image's name and the labels that it shows, and on nothing else: neither on the
    order of the files nor on the task or the class order.

    Args:
        presence: (N, 256) bool, the labels that each mask has.
        stems: The name of each image.
        seed: A different seed gives a different assignment.

    Returns:
        (N, 256) bool, one label per image; none for an image that shows no class.

    Source: arXiv 2405.09858, the partitioned setting.
    """
    classes = presence.copy()
    classes[:, [0, -1]] = False  # background and ignored pixels
    counts = classes.sum(axis=1)
    digests = (hashlib.blake2b(f"{seed}/{stem}".encode(), digest_size=8).digest() for stem in stems)
    draws = np.frombuffer(b"".join(digests), dtype=">u8").astype(np.float64) / 2.0**64  # uniform in [0, 1]
    places = np.minimum(np.floor(draws * counts), counts - 1)  # the largest 64-bit numbers round up to 1
    return classes & (classes.cumsum(axis=1) == places[:, None] + 1)
