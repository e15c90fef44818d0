"""How many pixels of each label every mask of a source has. Counted once, in parallel, and cached."""

from functools import partial
from pathlib import Path

import numpy as np

from plopkit.datasets.scan import cache_folder, cached, in_threads, keep
from plopkit.datasets.source import Source


def pixels(source: Source, cache: Path | None = None, threads: int | None = None) -> np.ndarray:
    """(N, 256) int32: the pixels of label l in mask i. Every image and mask is read whole on the way.

    Cached as ``presence`` is. ValueError names the file that cannot be read or has a label outside the classes.
    """
    path = (cache or cache_folder()) / f"pixels-{source.cache_key}.npz"
    table = cached(path, (len(source), 256), np.int32)
    if table is None:
        table = np.zeros((len(source), 256), np.int32)
        found = in_threads(partial(_counted, source), range(len(source)), "counting pixels", threads)
        for index, counts in enumerate(found):
            table[index] = counts
        keep(path, table, "the pixel counts are not kept, and the next check counts again")
    return table


def _counted(source: Source, index: int) -> np.ndarray:
    counts = np.bincount(source.read(index).mask.numpy().reshape(-1), minlength=256)
    if counts[len(source.classes) : 255].any():
        source.labels(index)  # it has the words for that, and raises
    return counts
