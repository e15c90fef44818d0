"""Domains (lesson 10): the exercises."""

from typing import Any

from plopkit.lessons.exercises import Exercise


def backward_transfer(forgetting: Any, method: str) -> float:
    """The mean, over the domains of all steps but the last, of the last mIoU minus that when they were learnt."""
    rows = forgetting[forgetting["method"] == method]
    earlier = rows[rows["learned_at"] < rows["learned_at"].max()]
    return float((earlier["last"] - earlier["learnt"]).mean())


EXERCISES: dict[str, Exercise] = {
    "10.1": Exercise(
        lambda table, domain: float(table[domain].dropna().iloc[0] - table[domain].iloc[-1]),
        "the domain's column has a value after each step: the first of them minus the last",
        solution="answer = fine_tuned[dark].iloc[0] - fine_tuned[dark].iloc[-1]\n"
        'lesson.check("10.1", answer, table=fine_tuned, domain=dark)',
        margin=0.1,
    ),
    "10.2": Exercise(
        backward_transfer,
        "take the rows whose `learned_at` is not the last step; the mean of `last` minus `learnt`",
        solution="earlier = forgetting.query(\"method == 'plop' and learned_at < learned_at.max()\")\n"
        'answer = (earlier["last"] - earlier["learnt"]).mean()\n'
        'print(f"{answer:.1f} points")\n'
        'lesson.check("10.2", answer, forgetting=forgetting, method="plop")',
        margin=0.1,
    ),
}
