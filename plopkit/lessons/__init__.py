"""The lessons: a folder per topic, each with its measures, figures and exercises.

What every lesson uses is here: `say`, `attempt`, `solution` and `progress`.
"""

from typing import TYPE_CHECKING, Any

from plopkit.support.lazy import lazy_attributes
from plopkit.support.moved import renamed

if TYPE_CHECKING:
    from plopkit.lessons.attempts import attempt
    from plopkit.lessons.prose import say
    from plopkit.lessons.solutions import progress, solution
else:
    MODULES = {"attempt": "attempts", "say": "prose", "progress": "solutions", "solution": "solutions"}

    def __getattr__(name: str) -> Any:
        lookup = lazy_attributes(__name__, MODULES) if name in MODULES else renamed(__name__)
        return lookup(name)


__all__ = ["attempt", "progress", "say", "solution"]
