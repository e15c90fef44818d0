"""Pseudo-labels (lesson 04): the exercises."""

from plopkit.lessons.exercises import Exercise

EXERCISES: dict[str, Exercise] = {
    "04.1": Exercise(
        lambda pseudo: pseudo.factor[0].item(),
        "what share of the pixels with target[0] == 0 has pseudo.sure[0]? `a & b` is true where both are true",
        tolerance=5e-3,
    ),
    "04.2": Exercise(
        lambda curve, wanted: curve.thresholds[curve.share >= wanted][0].item(),
        "curve.share increases with curve.thresholds: take the first threshold where it is at least `wanted`",
    ),
}
