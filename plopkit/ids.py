"""The ids in masks and targets: 8 bits, or 16 beyond 255 labels or channels, and which of them is ignored."""

import numpy as np

IGNORE = 255
"""The label, and the target, of ignored pixels where there are at most 255 labels, or channels."""

WIDE_IGNORE = 65535
"""The label, and the target, of ignored pixels where there are more."""

N_IDS = 256
"""Number of ids that an 8-bit mask can hold, `IGNORE` among them."""


def ignored_id(n: int) -> int:
    """The label of ignored pixels among `n` labels, or their target among `n` channels: 255, or 65535 where n > 255."""
    return IGNORE if n <= IGNORE else WIDE_IGNORE


def id_type(n: int) -> type[np.unsignedinteger]:
    """The type of masks of `n` labels, or of targets of `n` channels: 8 bits, or 16 where n > 255."""
    return np.uint8 if n <= IGNORE else np.uint16


def table_width(n_labels: int) -> int:
    """The number of columns of tables of images and labels; the last one is for ignored pixels.

    256, or n_labels + 1 where there are more than 255 labels.
    """
    return N_IDS if n_labels <= IGNORE else n_labels + 1
