"""Methods side by side, by their gradients (lesson 05): the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.lessons.gradients.measures import whole_net

EXERCISES: dict[str, Exercise] = {
    "05.1": Exercise(
        lambda table: set(table.index[table["new classifier"] == 0]),
        'table["new classifier"] == 0 is a row of yes and no; table.index gives (method, term)',
    ),
    "05.2": Exercise(
        lambda table: whole_net(table)["ewc", "ce"] / whole_net(table)["ewc", "penalty"],
        'whole_net(table) has the norms over the whole net; the gradient of "ewc", "penalty" grows with the factor',
        tolerance=5e-3,
    ),
}
