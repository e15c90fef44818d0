"""What a run has forgotten (lesson 07): the exercises."""

from plopkit.lessons.exercises import Exercise

EXERCISES: dict[str, Exercise] = {
    "07.1": Exercise(
        lambda lost, method: lost.query("method == @method and learned_at == 0 and label > 0")["forgetting"].mean(),
        "a row of lost is a method and a class: keep those of the method, with learned_at 0 and label above 0",
        tolerance=5e-3,
    ),
    "07.2": Exercise(
        lambda kinds: (kinds == 1).sum() / ((kinds > 0) & (kinds < 255)).sum(),
        "wrong is neither 0 nor 255; among the wrong pixels, how many have kind 1?",
        tolerance=5e-3,
    ),
}
