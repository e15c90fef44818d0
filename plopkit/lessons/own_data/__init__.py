"""Lesson 12, your own data: everything that the notebook needs."""

from plopkit.datasets.examine import examine
from plopkit.lessons.exercises import check
from plopkit.lessons.own_data.figures import pairs, predictions
from plopkit.lessons.own_data.shapes import NAMES, SMALL_PICTURES, a_picture, draw_folder, repaint

__all__ = ["NAMES", "SMALL_PICTURES", "a_picture", "check", "draw_folder", "examine", "pairs", "predictions", "repaint"]
