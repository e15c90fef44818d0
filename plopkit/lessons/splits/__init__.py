"""Who learns what when (lesson 01): what the notebook imports."""

from plopkit.lessons.splits.explorer import splits_explorer
from plopkit.lessons.splits.figures import class_bars, hidden_bars, schedule, targets

__all__ = [
    "class_bars",
    "hidden_bars",
    "schedule",
    "splits_explorer",
    "targets",
]
