"""What a scenario's images hold: images and pixels per step and class, and VOC's beside the known counts."""

import functools

import numpy as np
import pandas as pd

from plopkit.datasets import n_labels, open_split
from plopkit.datasets.pixels import pixels
from plopkit.scenario import Scenario, check
from plopkit.settings import Data
from plopkit.support import resources


@functools.cache
def voc_presence() -> tuple[np.ndarray, np.ndarray]:
    """Which classes the masks of VOC 2012 with SBD's have: (10582, 256) and (1449, 256) bool, training and validation.

    Read from the facts, so that every VOC scenario's images can be counted without VOC. The rows are in no order of
    the images', the background is not told, and the arrays are read-only.
    """
    sets = pd.read_csv(resources.path("voc_images.csv"))
    has = np.array([np.isin(np.arange(256), list(map(int, labels.split()))) for labels in sets["labels"].astype(str)])
    tables = has.repeat(sets["train"], axis=0), has.repeat(sets["val"], axis=0)
    for table in tables:
        table.flags.writeable = False
    return tables


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

    train, val: (N, 256), the pixels of each label in each mask, or whether it has any.
    """
    rows = [
        {
            "step": step.index,
            "new classes": len(step.new) - (0 in step.new),
            "training images": int(step.trains_on(train > 0).sum()),
            "validation images": int(step.evaluates_on(val > 0).sum()),
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
        trained, tested = train[step.trains_on(train > 0)], val[step.evaluates_on(val > 0)]
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


def hidden_table(scenario: Scenario, train: np.ndarray) -> pd.DataFrame:
    """What the background of each step's targets is made of, in percent of the pixels with target 0.

    Columns: ``background``, pixels of label 0; ``old`` and ``future``, of labels learnt before and later that the
    target hides there. One row per step. train: (N, 256), the pixels of each label in each training mask.
    """
    rows = []
    for step in scenario.steps:
        counts = train[step.trains_on(train > 0)].sum(0, dtype=np.int64)
        counts[step.lookup(step.labelled) != 0] = 0
        groups = {"background": [0], "old": [label for label in step.old if label], "future": list(step.future)}
        shares = {name: 100 * counts[labels].sum() / max(1, counts.sum()) for name, labels in groups.items()}
        rows.append({"step": step.index} | shares)
    return pd.DataFrame(rows).set_index("step")


def compare(scenario: Scenario, steps: pd.DataFrame) -> list[str]:
    """The lines of ``differences``, or one that says that there are none; empty where nothing is known."""
    if scenario.dataset != "voc":
        return []
    return differences(scenario, steps) or ["images per step: as known"]


def differences(scenario: Scenario, steps: pd.DataFrame) -> list[str]:
    """Where the images per step of a VOC scenario differ from the known counts: a line each.

    Empty for other data sets, of which nothing is known.
    """
    if scenario.dataset != "voc":
        return []
    known = steps_table(scenario, *voc_presence())
    lines = []
    for step in scenario.steps:
        for kind in ("training images", "validation images"):
            found, expected = int(steps.loc[step.index, kind]), int(known.loc[step.index, kind])
            if found != expected:
                lines.append(f"step {step.index}: {found:,} {kind}, known are {expected:,}")
    return lines


def gaps(steps: pd.DataFrame) -> list[str]:
    """The steps that have nothing to be trained or evaluated on, which ``run`` refuses: a line each."""
    return [
        f"step {step}: no {kind}, and a run needs some at every step; add images of its classes, or choose another task"
        for kind in ("training images", "validation images")
        for step in steps.index[steps[kind] == 0]
    ]


def report(scenario: Scenario, steps: pd.DataFrame, classes: pd.DataFrame, every: bool = False) -> str:
    """The tables as text: the steps, then each class at the step that learns it and in the whole validation.

    every: each class at each step instead. Last come the lines of ``compare`` and ``gaps``.
    """
    told = "\n".join([*compare(scenario, steps), *gaps(steps)])
    if every:
        blocks = [_aligned(rows) for _, rows in classes.groupby("step")]
        return "\n\n".join(filter(None, [f"{scenario}", _aligned(steps.reset_index()), *blocks, told]))
    trained = classes[classes["step"] == classes["learnt at"]].set_index("label")
    tested = classes[classes["step"] == classes["step"].max()].set_index("label")
    shown = trained.drop(columns=["step"]).assign(
        **{name: tested[name] for name in ("validation images", "validation pixels")}
    )
    parts = [f"{scenario}", _aligned(steps.reset_index()), _aligned(shown.reset_index())]
    parts[2] += "\ntraining: at the step that learns the class; validation: at the last. All steps: --all, or -o CSV"
    return "\n\n".join(filter(None, [*parts, told]))


def _aligned(table: pd.DataFrame) -> str:
    text = {name: "{:,}".format for name in table.columns if name.endswith(("images", "pixels"))}
    return table.to_string(index=False, formatters=text)
