"""The presence index: which labels every image of a source holds. Made once, in parallel, and cached."""

from pathlib import Path

import numpy as np

from plopkit.datasets.scan import cache_folder, cached, in_threads, keep
from plopkit.datasets.source import Source


def presence(source: Source, cache: Path | None = None, threads: int | None = None) -> np.ndarray:
    """(N, 256) bool: does image i hold label l? Every pair is checked on the way.

    The table lies in ``cache`` (default ``cache_folder()``) under the source's ``cache_key``; a broken file there is
    made anew, and a folder that cannot be written costs only the time of the next scan.
    """
    path = (cache or cache_folder()) / f"presence-{source.cache_key}.npy"
    packed = cached(path, (len(source), 32), np.uint8)
    if packed is not None:
        return np.unpackbits(packed, axis=1).astype(bool)
    table = np.zeros((len(source), 256), bool)
    found = in_threads(source.labels, range(len(source)), "which labels has each image", threads)
    for index, labels in enumerate(found):
        table[index, list(labels)] = True
    keep(path, np.packbits(table, axis=1), "the presence index is not kept, and the next run makes it again")
    return table
