"""Work on every image of a data set in threads, with a progress bar, and the cache of the resulting tables."""

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from plopkit.support.bars import notice, progress_bar
from plopkit.support.cpus import n_cpus
from plopkit.support.files import atomic_write
from plopkit.support.moved import renamed
from plopkit.support.places import expanded, home

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


Item = TypeVar("Item")
Result = TypeVar("Result")


def in_threads(
    work: Callable[[Item], Result], items: Sequence[Item], description: str, threads: int | None = None
) -> Iterator[Result]:
    """Yield `work(item)` of each item, in order.

    The first error cancels the rest. A progress bar is shown for 500 items or more.

    Args:
        work: Called in several threads at once.
        items: What to work on.
        description: Title of the progress bar.
        threads: Number of threads; by default one per core, at most 16.
    """
    # Threads rather than processes: decoding releases the interpreter lock, and nothing needs to be copied.
    with ThreadPoolExecutor(threads or min(16, n_cpus())) as pool:
        try:
            results = pool.map(work, items)
            yield from progress_bar(results, description, len(items), shown=len(items) >= 500, leave=False)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # report a broken file without waiting for all the others
            raise


def cache_folder() -> Path | None:
    """`$PLOPKIT_CACHE`, else `$XDG_CACHE_HOME/plopkit`, else `~/.cache/plopkit`; None without a home directory."""
    if folder := os.environ.get("PLOPKIT_CACHE"):
        return expanded(folder)
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return expanded(shared) / "plopkit"
    own = home()
    return own and own / ".cache" / "plopkit"


def load_table(path: Path | None, shape: tuple[int, ...], dtype: Any) -> np.ndarray | None:
    """The cached array in a file; None if there is no file, it is damaged, or its array has another shape or type.

    The file holds a SHA-256 of the array and of the file's name, so that neither a changed bit nor the table of other
    images passes.
    """
    if path is None:
        return None
    with contextlib.suppress(Exception), open(path, "rb") as file:  # numpy raises almost anything for a damaged file
        archive = np.load(file, allow_pickle=False)
        array = archive["table"]
        if array.shape == shape and array.dtype == dtype and str(archive["sha256"]) == _digest(path, array):
            return array
    return None


def save_table(path: Path | None, array: np.ndarray, warning: str) -> None:
    """Cache an array for `load_table`, in a compressed archive.

    A cache that cannot be written costs time only: `warning` is printed with the reason, and nothing is raised.

    Args:
        path: The file; None where there is no folder for it.
        array: What to cache.
        warning: What the lack of a cache means.
    """
    if path is None:
        notice(f"{warning} (there is no home directory for it; PLOPKIT_CACHE names another folder)")
        return
    try:
        with atomic_write(path) as part, open(part, "wb") as file:
            np.savez_compressed(file, table=array, sha256=np.array(_digest(path, array)))
    except OSError as error:
        notice(f"{warning} ({error})")


def _digest(path: Path, array: np.ndarray) -> str:
    about = f"{path.name} {array.dtype} {array.shape}"
    return hashlib.sha256(about.encode() + np.ascontiguousarray(array).tobytes()).hexdigest()
