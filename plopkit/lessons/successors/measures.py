"""What the methods since PLOP changed, and what they gained by it."""

from collections.abc import Collection
from typing import NamedTuple

import pandas as pd

from plopkit.catalogue import METHODS
from plopkit.runs.results import published


class Idea(NamedTuple):
    """What a method added to those before it."""

    year: int
    venue: str
    where: str
    """What it changes: the loss, the output, the net, the weights, or a memory."""
    what: str


IDEAS = {
    "ilt": Idea(2019, "ICCV workshop", "loss", "distils features and outputs over the old classes"),
    "mib": Idea(2020, "CVPR", "loss", "the background's probability includes the classes that it hides"),
    "plop": Idea(2021, "CVPR", "loss", "distils pooled features of every stage; pseudo-labels the background"),
    "sdr": Idea(2021, "CVPR", "loss", "arranges features around a prototype of each class"),
    "ssul": Idea(2021, "NeurIPS", "output", "freezes the net; a sigmoid per class; unseen objects become a class"),
    "ssul-m": Idea(2021, "NeurIPS", "memory", "SSUL with a memory of images"),
    "rcil": Idea(2022, "CVPR", "net", "two branches, of which one stays frozen, are merged after each step"),
    "reminder": Idea(2022, "CVPR", "loss", "distils more where a new class resembles an old one"),
    "dkd": Idea(2022, "NeurIPS", "output", "a sigmoid per class; distils the parts of each logit"),
    "dkd-m": Idea(2022, "NeurIPS", "memory", "DKD with a memory of images"),
    "ewf": Idea(2023, "CVPR", "weights", "PLOP whose weights are averaged with those before the step"),
    "star": Idea(2023, "NeurIPS", "memory", "replays features drawn from stored prototypes of the old classes"),
    "star-m": Idea(2023, "NeurIPS", "memory", "STAR with a memory of images as well"),
    "barm": Idea(2024, "ECCV", "output", "models how the background changes as a residual of its logit"),
}
"""By the method's name in `published.csv`, in the order of publication."""


def since_plop(scenario: str = "voc 15-1 overlap") -> pd.DataFrame:
    """The published results of the methods in `IDEAS`, background counted: one row each, in the order of publication.

    Of several rows of a method the first in `published.csv` counts, which is that of its own authors.

    Returns:
        Columns `method`, `year`, `venue`, `where`, `what`, `old`, `new`, `all`, `source`; mIoU in percent, missing
        where only `all` is published.
    """
    rows = published(scenario).query("background_counted == 'yes'").drop_duplicates("method").set_index("method")
    table = pd.DataFrame.from_dict(IDEAS, orient="index", columns=Idea._fields).join(rows, how="inner")
    columns = [*Idea._fields, "old", "new", "all", "source"]
    return table[columns].rename_axis("method").reset_index()


class Gain(NamedTuple):
    """How far a method is ahead of PLOP over all classes."""

    method: str
    share: float
    """Of the lead that the best method has."""


def best_gain(table: pd.DataFrame, where: Collection[str]) -> Gain:
    """The best method among those that change one of these.

    Args:
        table: result of `since_plop`.
        where: values of its column `where`.
    """
    scores, places = (table.set_index("method")[column] for column in ("all", "where"))
    best = scores[places.isin(where)].idxmax()
    return Gain(str(best), float((scores[best] - scores["plop"]) / (scores.max() - scores["plop"])))


def ideas_table(table: pd.DataFrame) -> pd.DataFrame:
    """`since_plop` to read: what each method changed, its result, and whether plopkit has it."""
    columns = {"method": "method", "year": "year", "where": "changes", "what": "by which idea", "all": "all"}
    return (
        table[list(columns)]
        .rename(columns=columns)
        .assign(**{"in plopkit": ["yes" if method in METHODS else "" for method in table["method"]]})
    )


def both_scores(table: pd.DataFrame, measured: pd.DataFrame) -> pd.DataFrame:
    """Methods with a published and with a measured result.

    Args:
        table: `since_plop`.
        measured: rows of a summary after the last step, of any seeds.

    Returns:
        Columns `method`, `published`, `measured`: `all` in percent, the mean over seeds.
    """
    own = measured.groupby("method")["all"].mean().rename("measured")
    both = table.set_index("method")["all"].rename("published").to_frame().join(own, how="inner")
    return both.reset_index()


def shares_of_gain(
    before: tuple[float, float], after: tuple[float, float], n_old: int, n_new: int
) -> tuple[float, float]:
    """How many points of a gain over all classes come from the old and from the new classes.

    The mean over all classes weighs a group by its number of classes.

    Args:
        before: mIoU of the old and of the new classes of the one method.
        after: the same of the other.
        n_old: number of old classes, the background included.
        n_new: number of new classes.
    """
    n = n_old + n_new
    return (after[0] - before[0]) * n_old / n, (after[1] - before[1]) * n_new / n
