"""Lesson 05, methods side by side: everything that the notebook needs."""

from plopkit.lessons.exercises import check
from plopkit.lessons.gradients.figures import gradient_map, method_bars, term_bars
from plopkit.lessons.gradients.measures import (
    Situation,
    attribution,
    protects,
    softmax_methods,
    some_iterations,
    whole_net,
)
from plopkit.support.lazy import lazy_attributes

__all__ = [
    "Situation",
    "attribution",
    "check",
    "gradient_explorer",
    "gradient_map",
    "method_bars",
    "protects",
    "softmax_methods",
    "some_iterations",
    "term_bars",
    "whole_net",
]

__getattr__ = lazy_attributes(__name__, {"gradient_explorer": "explorer"})  # only explorers need ipywidgets
