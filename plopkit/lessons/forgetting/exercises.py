"""Lesson 07, what a run has forgotten: the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.scenario import IGNORE

EXERCISES: dict[str, Exercise] = {
    "07.1": Exercise(
        lambda lost, method: lost.query("method == @method and learned_at == 0 and label > 0")["forgetting"].mean(),
        "each row of lost is a method and a class: keep the rows of the method with learned_at 0 and label above 0",
        solution='old = lost[(lost["method"] == "ft") & (lost["learned_at"] == 0) & (lost["label"] > 0)]\n'
        'answer = old["forgetting"].mean()\n'
        'print(f"{answer:.1f} points")\n'
        'lesson.check("07.1", answer, lost=lost, method="ft")',
        margin=0.1,
    ),
    "07.2": Exercise(
        lambda kinds: (kinds == 1).sum() / ((kinds > 0) & (kinds != IGNORE)).sum(),
        "wrong pixels have a kind other than 0 (correct) and 255 (ignored); how many of them have kind 1?",
        solution='kinds = last["ft"]\n'
        "wrong = (kinds != 0) & (kinds != 255)\n"
        "answer = (kinds[wrong] == 1).mean()\n"
        'print(f"{answer:.3f}")\n'
        'lesson.check("07.2", answer, kinds=last["ft"])',
        tolerance=5e-3,
    ),
}
