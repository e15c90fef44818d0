"""Lesson 07, what a run has forgotten: everything that the notebook needs."""

from plopkit.lessons.exercises import check
from plopkit.lessons.forgetting.figures import class_matrix, drop_bars, mistakes_figure, trade_off
from plopkit.lessons.forgetting.measures import KINDS, ForgettingExamples, load_examples
from plopkit.lessons.forgetting.scores import (
    background_share,
    first_losses,
    one_step_later,
    score_curves,
    shortened,
)
from plopkit.support.lazy import lazy_attributes

__all__ = [
    "KINDS",
    "ForgettingExamples",
    "background_share",
    "check",
    "class_matrix",
    "drop_bars",
    "first_losses",
    "load_examples",
    "mistakes_explorer",
    "mistakes_figure",
    "one_step_later",
    "score_curves",
    "shortened",
    "trade_off",
]

__getattr__ = lazy_attributes(__name__, {"mistakes_explorer": "explorer"})  # only explorers need ipywidgets
