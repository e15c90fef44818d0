"""How many pixels of each label every mask of a source has. Counted once, in parallel, and cached."""

import contextlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from plopkit.datasets.presence import cache_folder
from plopkit.datasets.source import Source


def pixels(source: Source, cache: Path | None = None, threads: int | None = None) -> np.ndarray:
    """(N, 256) int32: the pixels of label l in mask i. Every image and mask is read whole on the way.

    Cached as ``presence`` is. ValueError names the file that cannot be read or has a label outside the classes.
    """
    path = (cache or cache_folder()) / f"pixels-{source.fingerprint}.npz"
    table = _cached(path, len(source))
    if table is not None:
        return table
    table = np.zeros((len(source), 256), np.int32)
    with ThreadPoolExecutor(threads or min(16, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda index: _counted(source, index), range(len(source)))
        try:
            bar = tqdm(found, total=len(source), desc="counting pixels", leave=False, disable=len(source) < 500)
            for index, counts in enumerate(bar):
                table[index] = counts
        except BaseException:
            pool.shutdown(cancel_futures=True)  # a broken file must not wait for all the others
            raise
    _store(path, table)
    return table


def _counted(source: Source, index: int) -> np.ndarray:
    counts = np.bincount(source.read(index).mask.numpy().reshape(-1), minlength=256)
    if counts[len(source.classes) : 255].any():
        source.labels(index)  # it has the words for that, and raises
    return counts


def _cached(path: Path, count: int) -> np.ndarray | None:
    with contextlib.suppress(Exception), open(path, "rb") as file:  # a broken one makes numpy raise almost anything
        table = np.load(file, allow_pickle=False)["pixels"]
        if table.shape == (count, 256) and table.dtype == np.int32:
            return table
    return None


def _store(path: Path, table: np.ndarray) -> None:
    """Write beside, then rename: two commands that start together never read half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npz", delete=False) as file:
            np.savez_compressed(file, pixels=table)
        os.replace(file.name, path)
    except OSError as error:
        tqdm.write(f"the pixel counts are not kept ({error}); the next check counts again")
