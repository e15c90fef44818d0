"""What notebooks of version 0.1 call where more than a name has changed: attributes of results, columns of tables.

`plopkit.support.moved` leads the old names here.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from plopkit.lessons.forgetting import ForgettingExamples, load_examples
from plopkit.lessons.pseudo.figures import COLOURS, OUTCOMES
from plopkit.lessons.thresholds import pseudo_label_dots, pseudo_label_rates, range_bars, released_range
from plopkit.runs.folder import RunFolder

RATES = {"limit": "threshold", "sure": "confident", "right": "precision", "found": "recall"}
BORDERS = {"sure": "half bin"}
JUDGED = {outcome: (COLOURS[outcome], text) for outcome, text in OUTCOMES.items()}
"""The colour and the text of each kind of pseudo-label."""


class Examined(ForgettingExamples):
    """Forgetting examples with the attributes of version 0.1."""

    @property
    def steps(self) -> int:
        return self.n_steps

    def shares(self, step: int) -> pd.Series:
        return self.mistake_shares(step)

    def called(self, label: int) -> pd.DataFrame:
        return self.predicted_as(label)


def examine(folder: RunFolder) -> Examined:
    """`plopkit.lessons.forgetting.load_examples`."""
    examples = load_examples(folder)
    return Examined(**{field.name: getattr(examples, field.name) for field in fields(examples)})


def let_through(*args: Any, **kwargs: Any) -> pd.DataFrame:
    """`plopkit.lessons.thresholds.pseudo_label_rates`."""
    return pseudo_label_rates(*args, **kwargs).rename(columns={new: old for old, new in RATES.items()})


def let_through_figure(tables: Mapping[str, pd.DataFrame], title: str) -> Figure:
    """`plopkit.lessons.thresholds.pseudo_label_dots`."""
    names = {"no limit": "no threshold"}
    renamed = {names.get(name, name): table.rename(columns=RATES) for name, table in tables.items()}
    return pseudo_label_dots(renamed, title)


def reach(*args: Any, **kwargs: Any) -> pd.DataFrame:
    """`plopkit.lessons.thresholds.released_range`."""
    return released_range(*args, **kwargs).rename(columns={new: old for old, new in BORDERS.items()})


def threshold_reach(table: pd.DataFrame, title: str) -> Figure:
    """`plopkit.lessons.thresholds.range_bars`."""
    return range_bars(table.rename(columns=BORDERS), title)
