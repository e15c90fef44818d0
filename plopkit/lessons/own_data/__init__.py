"""Lesson 12, your own data: everything that the notebook needs."""

from plopkit.datasets.examine import examine
from plopkit.lessons.exercises import check
from plopkit.lessons.own_data.fates import FATES, fate_of_old
from plopkit.lessons.own_data.figures import pairs, predictions
from plopkit.lessons.own_data.shapes import NAMES, SMALL_PICTURES, a_picture, draw_folder, repaint

__all__ = [
    "FATES",
    "NAMES",
    "SMALL_PICTURES",
    "a_picture",
    "check",
    "draw_folder",
    "examine",
    "fate_of_old",
    "pairs",
    "predictions",
    "repaint",
]
