"""What the released code computes (lesson 09): what the notebook imports."""

from plopkit.lessons.thresholds.explorer import walk_explorer
from plopkit.lessons.thresholds.figures import labelled, let_through, limit_by_share, threshold_reach, threshold_walk

__all__ = [
    "labelled",
    "let_through",
    "limit_by_share",
    "threshold_reach",
    "threshold_walk",
    "walk_explorer",
]
