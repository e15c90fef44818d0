"""A source: images with their masks, in a fixed order. Every data set provides one for each split."""

import hashlib
from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Int, UInt8, UInt16
from torch import Tensor

from plopkit.datasets.lookup import label_counts
from plopkit.datasets.turns import Turn
from plopkit.scenario import ignored_id


class Pair(NamedTuple):
    """An image and its mask of labels (0 is background, 255 is ignored), both 8-bit and of the same size.

    The mask of a data set with more than 255 labels is uint16, and 65535 is ignored there.
    """

    image: UInt8[Tensor, "3 H W"]
    mask: UInt8[Tensor, "H W"] | UInt16[Tensor, "H W"]


class Inspection(NamedTuple):
    """What an image and its mask hold."""

    counts: Int[np.ndarray, "ids"]
    """(256,) or (65536,): pixels of each label"""
    size: tuple[int, int]
    """height and width, upright"""
    turn: Turn
    digest: bytes
    """equal for images of equal pixels"""


def digest_of(image: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """Sixteen bytes that are equal for images of equal size and pixels."""
    pixels = np.ascontiguousarray(image)
    return hashlib.blake2b(pixels.data, digest_size=16, key=repr(pixels.shape).encode()).digest()


class Source(ABC):
    """Images with masks.

    A new data set is a subclass that sets the attributes below and implements `read` and `labels`.

    Example:
        >>> class Empty(Source):
        ...     classes, stems, fingerprint = ("background", "cat"), ("first", "second"), "empty-1"
        ...
        ...     def read(self, index):
        ...         return Pair(torch.zeros(3, 32, 32, dtype=torch.uint8), torch.zeros(32, 32, dtype=torch.uint8))
        ...
        ...     def labels(self, index):
        ...         return frozenset({0})
    """

    classes: tuple[str, ...]
    """The name of each label, background first: `classes[label]`."""

    stems: tuple[str, ...]
    """The name of each image."""

    fingerprint: str
    """Changes whenever an image, a mask or their order changes. A run stores it and refuses to resume on other data."""

    earlier_fingerprint: str = ""
    """What an earlier version would have stored for the same images, where that was something else."""

    digest: Literal["sample", "all"] = "sample"
    """What of each file the fingerprint depends on, as `Data.digest`; of no effect where images are drawn."""

    digests: tuple[str, ...] = ()
    """A digest of each image and its mask; () where only the fingerprint is known."""

    domains: tuple[str, ...] = ()
    """The domain of each image; () where it was not opened for the protocol `domain`."""

    remarks: tuple[str, ...] = ()
    """What was put right when the images were looked for, such as a list that repeats one: for the user to know."""
    listing: str = ""
    """The file that lists the images, for messages; "" where there is none."""

    credit: str = ""
    """Whom to name in a picture made from these images."""

    @property
    def cache_key(self) -> str:
        """Names the cached tables: changes whenever the images or what generates them may have changed.

        For files this is their place, their size and their times, so that they need not be read.
        """
        return self.fingerprint

    def __len__(self) -> int:
        return len(self.stems)

    @abstractmethod
    def read(self, index: int) -> Pair:
        """Read an image and its mask.

        Raises:
            ValueError: A file cannot be read. The message names it.
        """

    @abstractmethod
    def labels(self, index: int) -> frozenset[int]:
        """The labels in a mask, 255 (or 65535) included if some of its pixels are ignored.

        The image and the mask are checked as far as that is cheap.

        Raises:
            ValueError: A file cannot be read, or the mask contains a label outside the classes.
        """

    def inspect(self, index: int) -> Inspection:
        """All that `plopkit data check` says about an image and its mask; both are read in full.

        Raises:
            ValueError: As for `labels`, with the same message.
        """
        image, mask = self.read(index)
        counts, n_labels = label_counts(mask), len(self.classes)
        if counts[n_labels : ignored_id(n_labels)].any():
            self.labels(index)  # raises the error that explains it
        return Inspection(counts, (mask.shape[0], mask.shape[1]), Turn(), digest_of(image.permute(1, 2, 0).numpy()))

    def stored_bytes(self, index: int) -> int:
        """The bytes of an image and its mask, as they are stored; as arrays, where they are drawn."""
        image, mask = self.read(index)
        return image.nbytes + mask.nbytes

    def where(self, index: int) -> str:
        """The name of an image in error messages."""
        return self.stems[index]
