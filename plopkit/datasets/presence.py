"""The presence index: which labels every image of a source holds. Made once, in parallel, and cached."""

import contextlib
import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from plopkit.datasets.source import Source


def cache_folder() -> Path:
    """``$PLOPKIT_CACHE``, else ``$XDG_CACHE_HOME/plopkit``, else ``~/.cache/plopkit``."""
    if chosen := os.environ.get("PLOPKIT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plopkit"


def presence(source: Source, cache: Path | None = None, threads: int | None = None) -> np.ndarray:
    """(N, 256) bool: does image i hold label l? Every pair is checked on the way.

    The table lies in ``cache`` (default ``cache_folder()``) under the source's fingerprint; a broken file there is made
    anew, and a folder that cannot be written costs only the time of the next scan.
    """
    path = (cache or cache_folder()) / f"presence-{source.fingerprint}.npy"
    table = _cached(path, len(source))
    if table is not None:
        return table
    table = np.zeros((len(source), 256), bool)
    threads = threads or min(16, os.cpu_count() or 1)
    # Threads, not processes: decoding releases the lock, and nothing needs to be copied.
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(source.labels, range(len(source)))
        bar = tqdm(found, total=len(source), desc="which labels has each image", leave=False, disable=len(source) < 500)
        try:
            for index, labels in enumerate(bar):
                table[index, list(labels)] = True
        except BaseException:
            pool.shutdown(cancel_futures=True)  # a broken file must not wait for all the others
            raise
    _store(path, table)
    return table


def _cached(path: Path, count: int) -> np.ndarray | None:
    with contextlib.suppress(Exception), open(path, "rb") as file:  # a broken one makes numpy raise almost anything
        packed = np.load(file, allow_pickle=False)
        if packed.shape == (count, 32) and packed.dtype == np.uint8:
            return np.unpackbits(packed, axis=1).astype(bool)
    return None


def _store(path: Path, table: np.ndarray) -> None:
    """Write beside, then rename: two runs that start together never read half a file."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".npy", delete=False) as file:
            np.save(file, np.packbits(table, axis=1), allow_pickle=False)
        os.replace(file.name, path)
    except OSError as error:
        tqdm.write(f"the presence index is not kept ({error}); the next run makes it again")
