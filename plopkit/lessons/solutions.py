"""Solutions that stay folded until somebody opens them, and that "Run All" does not run."""

import html
import re
from dataclasses import dataclass
from pathlib import Path

from plopkit.lessons.attempts import all_attempts
from plopkit.lessons.exercises import all_exercises, exercise_names
from plopkit.lessons.progress_file import Progress, read
from plopkit.support.errors import unknown_name


@dataclass(frozen=True)
class Solution:
    """The solution of an exercise: code to copy into a cell."""

    name: str
    code: str

    def __str__(self) -> str:
        return f"The solution of {self.name} is folded; in a notebook, click to open it."

    __repr__ = __str__

    def _repr_html_(self) -> str:
        code = html.escape(self.code, quote=False)
        style = "user-select:all;overflow-x:auto;padding:.6em;border-left:4px solid #999"
        return (
            f"<details><summary>Solution of {self.name} (open it after your own try; a click on it selects all)"
            f'</summary><pre style="{style}"><code>{code}</code></pre></details>'
        )


def solution(name: str) -> Solution:
    """The solution of an exercise, folded. It is shown, not run: copy it into a cell to try it.

    Args:
        name: the exercise's name, such as ``"03.1"`` or ``"03.pool"``.

    Raises:
        ValueError: there is no such exercise.

    Example:
        >>> print(solution("02.1").code)
        lesson.check("02.1", before[0] / (10 + 1), background=before[0], n_new=10)
    """
    attempts, exercises = all_attempts(), all_exercises()
    if name in attempts:
        code = attempts[name].solution.strip()
        return Solution(name, re.sub(r"(?m)^( *)(?=def )", rf'\1@attempt("{name}")\n\1', code, count=1))
    if name in exercises:
        return Solution(name, exercises[name].solution.strip())
    raise unknown_name("exercise", name, exercise_names())


def progress() -> Progress:
    """How many exercises of all lessons are right, as the file in the current folder has it.

    Example:
        >>> progress()
        7 of 33 exercises right; next: 02.2.
    """
    return read(exercise_names(), Path())
