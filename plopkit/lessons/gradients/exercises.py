"""Lesson 05, methods side by side: the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.lessons.gradients.measures import whole_net

EXERCISES: dict[str, Exercise] = {
    "05.1": Exercise(
        lambda table: set(table.index[table["new classifier"] == 0]),
        'table["new classifier"] == 0 is true for these rows; select them from table.index, which holds (method, term)',
        solution='answer = set(table.index[table["new classifier"] == 0])\n'
        "print(sorted(answer))\n"
        'lesson.check("05.1", answer, table=table)',
    ),
    "05.2": Exercise(
        lambda table: whole_net(table)["ewc", "ce"] / whole_net(table)["ewc", "penalty"],
        "lesson.whole_net(table) has the norms over the whole net; the penalty's is proportional to the factor",
        solution="norms = lesson.whole_net(table)\n"
        'answer = norms["ewc", "ce"] / norms["ewc", "penalty"]\n'
        "print(f\"{answer:.3g} times {methods['ewc'].importance:g}\")\n"
        'lesson.check("05.2", answer, table=table)',
        tolerance=5e-3,
    ),
}
