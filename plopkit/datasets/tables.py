"""Tables of a scenario's images and pixels, per step and per class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from plopkit.scenario import Scenario, Step


def evaluated_images(step: Step, presence: np.ndarray, future: str = "background") -> np.ndarray:
    """Which validation images a step is evaluated on, (N, 256) -> (N,) bool.

    Args:
        step: The step.
        presence: What the protocol selects the validation images by.
        future: As `Settings.future`; "left_out" also takes images without a label that has been seen.
    """
    if future == "left_out" and not step.domains:
        return np.ones(len(presence), bool)
    return step.evaluates_on(presence)


def steps_table(
    scenario: Scenario,
    train: np.ndarray,
    val: np.ndarray,
    names: Sequence[str] | None = None,
    future: str = "background",
) -> pd.DataFrame:
    """Count the images that each step is trained and evaluated on.

    Args:
        scenario: The scenario.
        train: (N, 256), the pixels of each label in each training mask, or whether it contains the label.
        val: The same for validation.
        names: The name of each label; without them, new classes are counted rather than named.
        future: As `Settings.future`.

    Returns:
        One row per `step`: `new classes`, `training images` and `validation images`; in the protocol domain also
        `new domains`.
    """
    rows = [
        {
            "step": step.index,
            **({"new domains": ", ".join(step.domains)} if step.domains else {}),
            "new classes": _new_classes(step, names),
            "training images": int(step.trains_on(train > 0).sum()),
            "validation images": int(evaluated_images(step, val > 0, future).sum()),
        }
        for step in scenario.steps
    ]
    return pd.DataFrame(rows).set_index("step")


def classes_table(
    scenario: Scenario,
    names: Sequence[str],
    train: np.ndarray,
    val: np.ndarray,
    presence: np.ndarray | None = None,
    evaluated: np.ndarray | None = None,
    future: str = "background",
) -> pd.DataFrame:
    """Count the images and pixels of each class in each step's targets.

    Labels hidden by a step's training targets (the old ones, except in the sequential protocol) count 0 there: their
    pixels are counted neither for the label nor for the background.

    Args:
        scenario: The scenario.
        names: The name of each label.
        train: (N, 256), the pixels of each label in each training mask.
        val: The same for validation.
        presence: (N, 256) bool, what the protocol selects the training images by; `train > 0` by default.
        evaluated: The same for validation; `val > 0` by default.
        future: As `Settings.future`.

    Returns:
        One row per `step` and `label` seen so far: its `name`, the step in which it is `learnt at`, and
        `images` and `pixels` with it in `training` and in `validation`.
    """
    presence = train > 0 if presence is None else presence
    evaluated = val > 0 if evaluated is None else evaluated
    rows = []
    for step in scenario.steps:
        trained, validated = train[step.trains_on(presence)], val[evaluated_images(step, evaluated, future)]
        shown = step.seen if step.labelled == "seen" else step.new
        for label in step.seen:
            pixels = trained[:, label] * (label in shown)
            rows.append(
                {
                    "step": step.index,
                    "label": label,
                    "name": names[label],
                    "learnt at": next(s.index for s in scenario.steps if label in s.new),
                    "training images": int((pixels > 0).sum()),
                    "training pixels": int(pixels.sum(dtype=np.int64)),
                    "validation images": int((validated[:, label] > 0).sum()),
                    "validation pixels": int(validated[:, label].sum(dtype=np.int64)),
                }
            )
    return pd.DataFrame(rows)


def hidden_table(scenario: Scenario, train: np.ndarray, presence: np.ndarray | None = None) -> pd.DataFrame:
    """Find out what the background of each step's targets consists of.

    Args:
        scenario: The scenario.
        train: (N, 256), the pixels of each label in each training mask.
        presence: (N, 256) bool, what the protocol selects the training images by; `train > 0` by default.

    Returns:
        One row per `step`, in percent of the pixels with target 0: `background`, pixels of label 0; `old` and
        `future`, pixels of labels learnt before and later, which the target hides.
    """
    presence = train > 0 if presence is None else presence
    rows = []
    for step in scenario.steps:
        counts = train[step.trains_on(presence)].sum(0, dtype=np.int64)
        targets = step.lookup(step.labelled)
        counts[:-1] *= targets[: len(counts) - 1] == 0
        counts[-1] = 0  # ignored pixels
        groups = {"background": [0], "old": [label for label in step.old if label], "future": list(step.future)}
        shares = {name: 100 * counts[labels].sum() / max(1, counts.sum()) for name, labels in groups.items()}
        rows.append({"step": step.index} | shares)
    return pd.DataFrame(rows).set_index("step")


def _new_classes(step: Step, names: Sequence[str] | None) -> int | str:
    labels = [label for label in step.new if label]
    return len(labels) if names is None else ", ".join(names[label] for label in labels)
