"""The data sets: sources of images with masks, and how a scenario's steps use them."""

from plopkit.catalogue import DATASETS
from plopkit.datasets.source import Pair, Source
from plopkit.settings import Data

__all__ = ["Pair", "Source", "n_labels", "open_split"]


def open_split(dataset: str, split: str, data: Data, seed: int = 0) -> Source:
    """Open the training ("train") or validation ("val") images of a data set in the catalogue.

    Args:
        dataset: A name in `plopkit.catalogue.DATASETS`.
        split: "train" or "val".
        data: Where the images are, or how they are drawn.
        seed: For data sets that are drawn.
    """
    return DATASETS[dataset].open(split, data, seed)


def n_labels(dataset: str, data: Data) -> int | None:
    """The number of labels of a user's own folder, background included; None for the other data sets."""
    entry = DATASETS[dataset]
    return len(entry.class_names(data.root)) if entry.is_users_own else None
