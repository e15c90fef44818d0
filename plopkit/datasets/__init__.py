"""The data sets, by the first word of a scenario."""

from functools import lru_cache

from plopkit.datasets.ade20k import ade
from plopkit.datasets.emoji import EmojiScenes
from plopkit.datasets.folder import folder, folder_classes
from plopkit.datasets.source import Pair, Source
from plopkit.datasets.voc import voc
from plopkit.settings import Data

__all__ = ["Pair", "Source", "n_labels", "open_split"]


def open_split(dataset: str, split: str, data: Data, seed: int = 0) -> Source:
    """The training ("train") or validation ("val") images of a data set. ``seed`` draws the emoji scenes."""
    if dataset == "emoji":
        count = data.scenes if split == "train" else data.val_scenes
        return _drawn(split, count, data.size, seed)
    readers = {"voc": voc, "ade": ade, "folder": folder}
    if dataset not in readers:
        raise ValueError(f"there is no reader of {dataset!r} yet; known: emoji, {', '.join(readers)}")
    if data.root is None:
        raise ValueError(f"{dataset} needs data.root, the folder that the data set lies in")
    return readers[dataset](data.root, split)


def n_labels(dataset: str, data: Data) -> int | None:
    """The number of labels of a user's own folder, background included; None for the other data sets."""
    if dataset != "folder":
        return None
    if data.root is None:
        raise ValueError("folder needs data.root, the folder that the data set lies in")
    return len(folder_classes(data.root))


_drawn = lru_cache(maxsize=4)(EmojiScenes)  # one kernel opens the same scenes for every method
