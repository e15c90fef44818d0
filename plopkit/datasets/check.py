"""`plopkit data check`: images and pixels per step and class, compared with known counts."""

import functools

import numpy as np
import pandas as pd

from plopkit.catalogue import DATASETS
from plopkit.datasets import open_for
from plopkit.datasets.counts import pixels
from plopkit.datasets.steps import protocol_presence
from plopkit.datasets.tables import classes_table, hidden_table, steps_table
from plopkit.scenario import N_IDS, Scenario, with_domains
from plopkit.settings import Data
from plopkit.support import resources

__all__ = [
    "classes_table",
    "compare",
    "count",
    "differences",
    "hidden_table",
    "report",
    "steps_table",
    "voc_presence",
]

KINDS = ("training images", "validation images")


@functools.cache
def voc_presence() -> tuple[np.ndarray, np.ndarray]:
    """Which labels the masks of VOC 2012 with SBD contain, so that VOC's scenarios can be counted without its files.

    Returns:
        (10582, 256) and (1449, 256) bool, training and validation, read-only. The rows are sorted by their labels, not
        by image, and column 0 (background) is always False.
    """
    sets = pd.read_csv(resources.path("voc_images.csv"))
    ids = np.arange(N_IDS)
    table = np.array([np.isin(ids, list(map(int, labels.split()))) for labels in sets["labels"].astype(str)])
    tables = table.repeat(sets["train"], axis=0), table.repeat(sets["val"], axis=0)
    for split in tables:
        split.flags.writeable = False
    return tables


def count(scenario: Scenario, data: Data, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read every image and mask of a scenario and count them.

    Args:
        scenario: The scenario.
        data: Where its images are.
        seed: For data sets that are drawn, and for the protocol partitioned.

    Returns:
        The scenario's `steps_table` and its `classes_table`.

    Raises:
        ValueError: A file is damaged. The message names it.
        FileNotFoundError: A file or folder is missing.
    """
    train, val = (open_for(scenario, split, data, seed) for split in ("train", "val"))
    counts = pixels(train), pixels(val)
    presence = protocol_presence(scenario, counts[0] > 0, train.stems, seed, train.domains)
    evaluated = with_domains(counts[1] > 0, val.domains, scenario.domains) if scenario.domains else counts[1] > 0
    steps = steps_table(scenario, presence, evaluated)
    return steps, classes_table(scenario, train.classes, *counts, presence, evaluated)


def compare(scenario: Scenario, steps: pd.DataFrame, future: str = "background") -> list[str]:
    """The lines of `differences`, or one line that says that there are none; empty if no counts are known."""
    if _expected(scenario, future) is None:
        return []
    return differences(scenario, steps, future) or ["images per step: as expected"]


def differences(scenario: Scenario, steps: pd.DataFrame, future: str = "background") -> list[str]:
    """Describe where the images per step differ from the known counts.

    Args:
        scenario: The scenario.
        steps: Its `steps_table`.
        future: As `Settings.future`, with which the table was made.

    Returns:
        A line per difference; empty if there is none, or no counts are known.
    """
    expected_steps = _expected(scenario, future)
    if expected_steps is None:
        return []
    lines = []
    for step in scenario.steps:
        for kind in KINDS:
            actual, expected = int(steps.loc[step.index, kind]), int(expected_steps.loc[step.index, kind])
            if actual != expected:
                lines.append(f"step {step.index}: {actual:,} {kind}, expected {expected:,}")
    return lines


def report(scenario: Scenario, steps: pd.DataFrame, classes: pd.DataFrame, every: bool = False) -> str:
    """Format the tables as text.

    Args:
        scenario: The scenario.
        steps: Its `steps_table`.
        classes: Its `classes_table`.
        every: Print each class at each step, instead of training at the step that learns it and validation at the last.
    """
    parts = [f"{scenario}", _aligned(steps.reset_index())]
    if every:
        return "\n\n".join([*parts, *(_aligned(rows) for _, rows in classes.groupby("step"))])
    trained = classes[classes["step"] == classes["learnt at"]].set_index("label")
    evaluated = classes[classes["step"] == classes["step"].max()].set_index("label")
    shown = trained.drop(columns=["step"]).assign(
        **{name: evaluated[name] for name in ("validation images", "validation pixels")}
    )
    note = "training: at the step that learns the class; validation: at the last step. All: --all or -o CSV"
    return "\n\n".join([*parts, f"{_aligned(shown.reset_index())}\n{note}"])


def _expected(scenario: Scenario, future: str) -> pd.DataFrame | None:
    """The `steps_table` of the published images; None if it is not known without them."""
    # Which images the protocol partitioned trains on depends on their names, which are not known.
    known = None if scenario.protocol == "partitioned" else DATASETS[scenario.dataset].presence_tables()
    return None if known is None else steps_table(scenario, *known, future=future)


def _aligned(table: pd.DataFrame) -> str:
    formats = {name: "{:,}".format for name in table.columns if name.endswith(("images", "pixels"))}
    return table.to_string(index=False, formatters=formats)
