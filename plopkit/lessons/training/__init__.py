"""How a scenario is trained (lessons 00 and 06): everything that the notebooks import."""

from plopkit.lessons.exercises import check
from plopkit.runs.results import most_different_example
from plopkit.viz import forgetting_curves, strips

__all__ = ["check", "forgetting_curves", "most_different_example", "strips"]
