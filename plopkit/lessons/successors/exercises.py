"""The methods since PLOP (lesson 11): the exercises."""

from itertools import combinations
from typing import Any

from plopkit.lessons.exercises import Exercise
from plopkit.lessons.successors.measures import shares_of_gain


def old_share(table: Any, method: str) -> float:
    """The points of a method's gain over PLOP in `all` of VOC 15-1 that come from the 16 old classes."""
    rows = table.set_index("method")
    before, after = (tuple(map(float, rows.loc[name, ["old", "new"]])) for name in ("plop", method))
    return shares_of_gain(before, after, 16, 5)[0]


def share_in_the_same_order(both: Any) -> float:
    """Of all pairs of methods, the share that the two columns order alike."""
    rows = list(both[["published", "measured"]].itertuples(index=False))
    alike = [(a.published > b.published) == (a.measured > b.measured) for a, b in combinations(rows, 2)]
    return sum(alike) / len(alike)


EXERCISES: dict[str, Exercise] = {
    "11.1": Exercise(
        old_share,
        "the mean over 21 classes counts 16 of them as old: the difference of `old`, times 16, divided by 21",
        solution='answer = 16 / 21 * (by_method.loc["ewf", "old"] - by_method.loc["plop", "old"])\n'
        "print(f\"{answer:.1f} of {by_method.loc['ewf', 'all'] - by_method.loc['plop', 'all']:.1f} points\")\n"
        'lesson.check("11.1", answer, table=table, method="ewf")',
        tolerance=1e-2,
    ),
    "11.2": Exercise(
        share_in_the_same_order,
        "take every pair of rows once; count those where the same method is ahead in both columns",
        solution="from itertools import combinations\n\n"
        'pairs = list(combinations(both[["published", "measured"]].to_numpy(), 2))\n'
        "answer = sum((a[0] > b[0]) == (a[1] > b[1]) for a, b in pairs) / len(pairs)\n"
        'print(f"{answer:.2f} of {len(pairs)} pairs")\n'
        'lesson.check("11.2", answer, both=both)',
        tolerance=1e-2,
    ),
}
