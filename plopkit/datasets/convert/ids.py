"""Masks that hold ids, numbered by a list of names."""

from collections.abc import Sequence

import numpy as np

from plopkit.datasets.convert.annotated import BACKGROUND, Canvas
from plopkit.datasets.convert.colours import OTHERS
from plopkit.scenario import ignored_id


def paint_ids(canvas: Canvas, ids: np.ndarray, names: Sequence[str], unknown: str, where: str) -> None:
    """Paint a mask of ids, which are places in a list of names; 255 (beyond 255 names 65535) is ignored.

    Raises:
        ValueError: An id is not in the list, and that is refused.
    """
    indices = ids.astype(np.int64)
    indices[indices == ignored_id(len(names))] = -1
    outside = indices >= len(names)
    if outside.any():
        if unknown == "refuse":
            first = int(indices[outside][0])
            raise ValueError(
                f"{where}: {int((indices == first).sum()):,} pixels have the id {first}, but --classes names "
                f"{len(names)} classes, from id 0; name it there, or choose --unknown ignore or --unknown background"
            )
        canvas.notes.add(f"masks with unknown ids, which are {OTHERS[unknown]}", where)
        indices[outside] = -1 if unknown == "ignore" else len(names)
    canvas.fill(indices, [*names, BACKGROUND])
