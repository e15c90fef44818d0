"""What every image and mask of a source holds, read in full once and cached: what `plopkit data check` looks at."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plopkit.datasets.counts import remember_presence
from plopkit.datasets.scan import cache_folder, in_threads, load_table, save_table
from plopkit.datasets.source import Inspection, Source
from plopkit.scenario import table_width


@dataclass(frozen=True, eq=False)
class Survey:
    """A row for each image; zeros for those in `errors`."""

    rows: np.ndarray
    """(N,) with the fields of `_row_type`"""
    errors: dict[int, str]
    """by position: why an image or mask cannot be used"""

    @property
    def counts(self) -> np.ndarray:
        """(N, 256) int32: pixels of each label; beyond 255 labels as for `presence`."""
        return self.rows["counts"]

    @property
    def sizes(self) -> np.ndarray:
        """(N, 2) int32: height and width."""
        return self.rows["size"]

    @property
    def turns(self) -> np.ndarray:
        """(N, 2) uint8: the fields of `Turn`."""
        return self.rows["turn"]

    @property
    def digests(self) -> list[bytes]:
        """Of each image's pixels; b"" for those that could not be read."""
        return [b"" if index in self.errors else row.tobytes() for index, row in enumerate(self.rows["digest"])]


def survey(source: Source, cache: Path | None = None, threads: int | None = None) -> Survey:
    """Read every image and mask in full; one that is wrong does not keep the others from being read.

    Args:
        source: The images and masks.
        cache: The folder of the cache; `cache_folder` by default. What has errors is not cached.
        threads: Number of threads; by default one per core, at most 16.
    """
    folder = cache or cache_folder()
    path = folder and folder / f"survey-{source.cache_key}.npz"
    width = table_width(len(source.classes))
    kind = _row_type(width)
    rows = load_table(path, (len(source),), kind)
    if rows is not None:
        return Survey(rows, {})
    rows, errors = np.zeros(len(source), kind), {}

    def attempt(index: int) -> Inspection | str:
        try:
            return source.inspect(index)
        except (ValueError, OSError) as error:
            return str(error)

    for index, found in enumerate(in_threads(attempt, range(len(source)), "reading every image and mask", threads)):
        if isinstance(found, str):
            errors[index] = found
            continue
        counts = np.append(found.counts[: width - 1], found.counts[-1])
        rows[index] = counts, found.size, found.turn, np.frombuffer(found.digest, np.uint8)
    if not errors:
        save_table(path, rows, "what the images hold is not cached and will be read again")
        remember_presence(source, rows["counts"] > 0, cache)  # a run need not look again
    return Survey(rows, errors)


def _row_type(width: int) -> np.dtype:
    return np.dtype(
        [("counts", np.int32, (width,)), ("size", np.int32, 2), ("turn", np.uint8, 2), ("digest", np.uint8, 16)]
    )
