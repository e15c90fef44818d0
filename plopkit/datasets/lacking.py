"""Why a step cannot be trained: which of its classes no image shows, which file lists the images, and what to do."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from plopkit.datasets.source import Source
from plopkit.scenario import Step
from plopkit.support.printable import one_line

MOST_NAMED = 8
"""Number of classes that a message names."""
ALONE = "each also shows a class of a later step"
START = (
    "where a net has learnt these classes already, begin with it in place of training step 0: start.checkpoint "
    "(--from CHECKPOINT), with start.classes (--from-classes LIST) if it names no classes"
)


def too_few_images(step: Step, n_images: int, batch: int, presence: Bool[np.ndarray, "N ids"], source: Source) -> str:
    """What is wrong where a step selects fewer images than a batch.

    Args:
        step: The step.
        n_images: Number of the images selected.
        batch: Number of images of a batch.
        presence: Which labels each training mask has.
        source: The training images.
    """
    listed = f"listed in {source.listing}" if source.listing else "there"
    if step.domains:
        what, absent = f"from {', '.join(step.domains)}", ""
    else:
        what, absent = "of its classes", _absent(step, presence, source.classes)
    if n_images:
        return (
            f"this step has {n_images} training images, fewer than one batch of {batch}; lower optim.batch, or add "
            f"images to the data set{absent and f' ({absent})'}"
        )
    n_shown = 0 if step.domains else int(presence[:, [label for label in step.new if label]].any(1).sum())
    if n_shown:
        why = f" ({ALONE}; overlap would take them)" if step.protocol in ("disjoint", "sequential") else ""
        return f"the protocol {step.protocol} takes none of the {n_shown} training images {what}{why}; add other images"
    remedy = f"; add such images, or {START if step.index == 0 else 'choose another task'}"
    return f"none of the {len(presence)} training images {listed} is {what}{absent and f' ({absent})'}{remedy}"


def _absent(step: Step, presence: Bool[np.ndarray, "N ids"], names: Sequence[str]) -> str:
    """The classes of a step that no image shows."""
    absent = [names[label] for label in step.new if label and not presence[:, label].any()]
    if not absent:
        return ""
    more = f" and {len(absent) - MOST_NAMED} more" if len(absent) > MOST_NAMED else ""
    return "no image shows " + ", ".join(one_line(name, 60) for name in absent[:MOST_NAMED]) + more
