"""Work on every image of a data set, in threads with a bar; and tables that are kept in the cache."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from tqdm.auto import tqdm

from plopkit.support.files import atomic_write

Item = TypeVar("Item")
Found = TypeVar("Found")


def in_threads(
    work: Callable[[Item], Found], items: Sequence[Item], description: str, threads: int | None = None
) -> Iterator[Found]:
    """``work`` of each item, in order; the first error ends all. The bar shows from 500 items on."""
    # Threads, not processes: decoding releases the lock, and nothing needs to be copied.
    with ThreadPoolExecutor(threads or min(16, os.cpu_count() or 1)) as pool:
        try:
            done = pool.map(work, items)
            yield from tqdm(done, total=len(items), desc=description, leave=False, disable=len(items) < 500)
        except BaseException:
            pool.shutdown(cancel_futures=True)  # a broken file must not wait for all the others
            raise


def cache_folder() -> Path:
    """``$PLOPKIT_CACHE``, else ``$XDG_CACHE_HOME/plopkit``, else ``~/.cache/plopkit``."""
    if chosen := os.environ.get("PLOPKIT_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "plopkit"


def cached(path: Path, shape: tuple[int, ...], dtype: Any) -> np.ndarray | None:
    """The array kept there; None where there is none of this shape and type, or it is broken."""
    with contextlib.suppress(Exception), open(path, "rb") as file:  # a broken one makes numpy raise almost anything
        found = np.load(file, allow_pickle=False)
        array = found if isinstance(found, np.ndarray) else found["table"]
        if array.shape == shape and array.dtype == dtype:
            return array
    return None


def keep(path: Path, array: np.ndarray, told: str) -> None:
    """Keep an array for ``cached``, compressed where the name ends in .npz.

    A folder that cannot be written costs only the next scan: ``told`` says so.
    """
    try:
        with atomic_write(path) as part, open(part, "wb") as file:
            if path.suffix == ".npz":
                np.savez_compressed(file, table=array)
            else:
                np.save(file, array, allow_pickle=False)
    except OSError as error:
        tqdm.write(f"{told} ({error})")
