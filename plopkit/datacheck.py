"""What a scenario's images hold: images and pixels per step and class, and VOC's beside the known counts."""

import numpy as np
import pandas as pd

from plopkit.datasets import n_labels, open_split
from plopkit.datasets.pixels import pixels
from plopkit.scenario import Scenario, check
from plopkit.settings import Data

# VOC 2012 with SBD's masks, natural order: training images per step, counted on all 10,582 masks.
KNOWN_TRAIN = {
    ("15-1", "overlap"): (9568, 487, 299, 491, 500, 548),
    ("15-1", "disjoint"): (8437, 378, 299, 420, 500, 548),
    ("15-5", "overlap"): (9568, 2145),
    ("15-5", "disjoint"): (8437, 2145),
    ("19-1", "overlap"): (10410, 548),
    ("19-1", "disjoint"): (10034, 548),
    ("10-1", "overlap"): (6139, 528, 1177, 444, 482, 3898, 487, 299, 491, 500, 548),
    ("10-1", "disjoint"): (3706, 188, 868, 227, 201, 3247, 378, 299, 420, 500, 548),
}
# Validation images with one of the first n classes.
KNOWN_VAL = dict(zip(range(10, 21), (869, 893, 1005, 1081, 1140, 1240, 1277, 1329, 1353, 1421, 1449), strict=True))


def count(text: str, data: Data, seed: int = 0) -> tuple[Scenario, pd.DataFrame, pd.DataFrame]:
    """Read every image and mask of a scenario: the scenario, its ``steps_table`` and its ``classes_table``.

    ValueError and FileNotFoundError name the file that is missing or broken. ``seed`` draws the emoji scenes.
    """
    scenario = Scenario.parse(text, n_labels(check(text).split()[0], data))
    train, val = (open_split(scenario.dataset, split, data, seed) for split in ("train", "val"))
    counted = pixels(train), pixels(val)
    return scenario, steps_table(scenario, *counted), classes_table(scenario, train.classes, *counted)


def steps_table(scenario: Scenario, train: np.ndarray, val: np.ndarray) -> pd.DataFrame:
    """One row per step: the images that it is trained and evaluated on.

    train, val: (N, 256), the pixels of each label in each mask.
    """
    rows = [
        {
            "step": step.index,
            "new classes": len(step.new) - (0 in step.new),
            "training images": int(step.uses_table(train > 0).sum()),
            "validation images": int(step.sees_table(val > 0).sum()),
        }
        for step in scenario.steps
    ]
    return pd.DataFrame(rows).set_index("step")


def classes_table(scenario: Scenario, names: tuple[str, ...], train: np.ndarray, val: np.ndarray) -> pd.DataFrame:
    """One row per step and label seen so far: images and pixels that show it in training and in validation.

    What a step's training masks hide (old labels, but for the sequential protocol) has 0 there: such pixels count for
    no label, not for the background. Shapes as for ``steps_table``.
    """
    rows = []
    for step in scenario.steps:
        trained, tested = train[step.uses_table(train > 0)], val[step.sees_table(val > 0)]
        shown = step.seen if step.labelled == "seen" else step.new
        for label in step.seen:
            mine = trained[:, label] * (label in shown)
            rows.append(
                {
                    "step": step.index,
                    "label": label,
                    "name": names[label],
                    "learnt at": next(s.index for s in scenario.steps if label in s.new),
                    "training images": int((mine > 0).sum()),
                    "training pixels": int(mine.sum(dtype=np.int64)),
                    "validation images": int((tested[:, label] > 0).sum()),
                    "validation pixels": int(tested[:, label].sum(dtype=np.int64)),
                }
            )
    return pd.DataFrame(rows)


def compare(scenario: Scenario, steps: pd.DataFrame) -> list[str]:
    """Where the images per step of a VOC scenario differ from the known counts: a line each.

    One line "as known" where none does; empty where nothing is known: other data sets, tasks and class orders.
    """
    # Sequential trains on the images of disjoint; only its masks show more.
    protocol = "overlap" if scenario.protocol == "overlap" else "disjoint"
    known = KNOWN_TRAIN.get((scenario.task, protocol))
    if known is None or scenario.dataset != "voc" or scenario.order != tuple(range(21)):
        return []
    lines = []
    for step, trained in zip(scenario.steps, known, strict=True):
        for kind, expected in (("training", trained), ("validation", KNOWN_VAL[step.n_seen - 1])):
            found = int(steps.loc[step.index, f"{kind} images"])
            if found != expected:
                lines.append(f"step {step.index}: {found:,} {kind} images, known are {expected:,}")
    return lines or ["images per step: as known"]


def report(scenario: Scenario, steps: pd.DataFrame, classes: pd.DataFrame) -> str:
    """The tables as text: the steps, then each class at the step that learns it and in the whole validation."""
    trained = classes[classes["step"] == classes["learnt at"]].set_index("label")
    tested = classes[classes["step"] == classes["step"].max()].set_index("label")
    shown = trained.drop(columns=["step"]).assign(
        **{name: tested[name] for name in ("validation images", "validation pixels")}
    )
    parts = [f"{scenario}", _aligned(steps.reset_index()), _aligned(shown.reset_index())]
    return "\n\n".join([*parts, *filter(None, ["\n".join(compare(scenario, steps))])])


def _aligned(table: pd.DataFrame) -> str:
    text = {name: "{:,}".format for name in table.columns if name.endswith(("images", "pixels"))}
    return table.to_string(index=False, formatters=text)
