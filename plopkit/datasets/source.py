"""A source: images with masks, in a fixed order. What a data set has to offer to be learnt from."""

from abc import ABC, abstractmethod
from typing import NamedTuple

from jaxtyping import UInt8
from torch import Tensor


class Pair(NamedTuple):
    """One image and its mask of labels (0 background, 255 ignore), both 8-bit and of the same height and width."""

    image: UInt8[Tensor, "3 H W"]
    mask: UInt8[Tensor, "H W"]


class Source(ABC):
    """Images with masks. ``classes[label]`` is a label's name; ``stems[i]`` names image i."""

    classes: tuple[str, ...]
    stems: tuple[str, ...]
    fingerprint: str
    """Changes whenever an image, a mask or the order does: a run keeps it, to go on with the same data only."""

    credit: str = ""
    """Whom a picture made from it has to name."""

    @property
    def cache_key(self) -> str:
        """Names its tables in the cache: the fingerprint, and the versions of what draws it, if it is drawn."""
        return self.fingerprint

    def __len__(self) -> int:
        return len(self.stems)

    @abstractmethod
    def read(self, index: int) -> Pair:
        """Image and mask number ``index``; ValueError naming the file where one cannot be read."""

    @abstractmethod
    def labels(self, index: int) -> frozenset[int]:
        """The labels of mask number ``index``, 255 included; checks the pair as far as reading it cheaply allows."""

    def where(self, index: int) -> str:
        """What to call image ``index`` in an error."""
        return self.stems[index]
