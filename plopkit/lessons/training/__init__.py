"""How a scenario is trained (lessons 00 and 06): everything that the notebooks import."""

from plopkit.lessons.exercises import check

__all__ = ["check"]
