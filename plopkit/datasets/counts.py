"""Labels and pixels per image of a data set: counted once, in parallel, and cached."""

from functools import partial
from pathlib import Path

import numpy as np

from plopkit.datasets.lookup import label_counts
from plopkit.datasets.scan import cache_folder, in_threads, load_table, save_table
from plopkit.datasets.source import Source
from plopkit.scenario import ignored_id, table_width


def presence(source: Source, cache: Path | None = None, threads: int | None = None) -> np.ndarray:
    """Find out which labels each image contains; every image and mask is checked on the way.

    Args:
        source: The images and masks.
        cache: The folder in which the table is kept under the source's `cache_key`; `cache_folder` by default. A
            damaged file is replaced. If the folder is not writable, the table is computed again next time.
        threads: Number of threads; by default one per core, at most 16.

    Returns:
        (N, 256) bool: whether mask i contains label l. Beyond 255 labels, (N, `table_width(n_labels)`), the last column
        for ignored pixels.

    Raises:
        ValueError: A file cannot be read, or a mask contains a label outside the classes. The message names the file.
    """
    path, width = _presence_path(source, cache), table_width(len(source.classes))
    packed = load_table(path, (len(source), -(-width // 8)), np.uint8)
    if packed is not None:
        return np.unpackbits(packed, axis=1, count=width).astype(bool)
    table = np.zeros((len(source), width), bool)
    labels_per_image = in_threads(source.labels, range(len(source)), "finding the labels of each image", threads)
    for index, labels in enumerate(labels_per_image):
        table[index, [min(label, width - 1) for label in labels]] = True
    remember_presence(source, table, cache)
    return table


def remember_presence(source: Source, table: np.ndarray, cache: Path | None = None) -> None:
    """Cache the table of labels per image, so that `presence` need not make it."""
    warning = "the table of labels per image is not cached and will be made again"
    save_table(_presence_path(source, cache), np.packbits(table, axis=1), warning)


def pixels(source: Source, cache: Path | None = None, threads: int | None = None) -> np.ndarray:
    """Count the pixels of each label in each mask; every image and mask is read in full.

    Args:
        source: The images and masks.
        cache: As for `presence`.
        threads: As for `presence`.

    Returns:
        (N, 256) int32: the number of pixels of label l in mask i; beyond 255 labels as for `presence`.

    Raises:
        ValueError: A file cannot be read, or a mask contains a label outside the classes. The message names the file.
    """
    folder = cache or cache_folder()
    path = folder and folder / f"pixels-{source.cache_key}.npz"
    shape = len(source), table_width(len(source.classes))
    table = load_table(path, shape, np.int32)
    if table is None:
        table = np.zeros(shape, np.int32)
        counts_per_image = in_threads(partial(_count, source), range(len(source)), "counting pixels", threads)
        for index, counts in enumerate(counts_per_image):
            table[index] = counts
        save_table(path, table, "the pixel counts are not cached and will be made again")
    return table


def _presence_path(source: Source, cache: Path | None) -> Path | None:
    folder = cache or cache_folder()
    return folder and folder / f"presence-{source.cache_key}.npz"


def _count(source: Source, index: int) -> np.ndarray:
    counts, n_labels = label_counts(source.read(index).mask), len(source.classes)
    if counts[n_labels : ignored_id(n_labels)].any():
        source.labels(index)  # raises the error that explains it
    return np.append(counts[: table_width(n_labels) - 1], counts[-1])
