"""What was forgotten (lesson 07): what the notebook imports."""

from plopkit.lessons.forgetting.examples import examine
from plopkit.lessons.forgetting.explorer import mistakes_explorer
from plopkit.lessons.forgetting.figures import class_matrix, drops, trade_off
from plopkit.lessons.forgetting.view import mistakes_view

__all__ = [
    "class_matrix",
    "drops",
    "examine",
    "mistakes_explorer",
    "mistakes_view",
    "trade_off",
]
