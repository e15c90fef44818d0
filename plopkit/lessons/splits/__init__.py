"""Lesson 01, which step learns which classes: everything that the notebook needs."""

from plopkit.datasets.check import voc_presence
from plopkit.datasets.counts import pixels
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.tables import hidden_table, steps_table
from plopkit.lessons.exercises import check
from plopkit.lessons.splits.figures import class_bars, hidden_bars, schedule, targets
from plopkit.support.lazy import lazy_attributes

__all__ = [
    "ScenarioData",
    "check",
    "class_bars",
    "hidden_bars",
    "hidden_table",
    "pixels",
    "schedule",
    "splits_explorer",
    "steps_table",
    "targets",
    "voc_presence",
]

__getattr__ = lazy_attributes(__name__, {"splits_explorer": "explorer"})  # only explorers need ipywidgets
