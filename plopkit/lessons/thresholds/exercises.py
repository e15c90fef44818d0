"""Lesson 09, what the released code computes: the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.lessons.thresholds.measures import uncertainty_scale
from plopkit.thresholds import RELEASED_FLOOR, released_median

EXERCISES: dict[str, Exercise] = {
    "09.1": Exercise(
        lambda: next(c for c in range(2, 200) if 1 / uncertainty_scale(c, c + 1) < 0.005),
        "r is at most 1 / (C ln C'); set C' = C + 1 and try numbers of channels with lesson.uncertainty_scale",
    ),
    "09.2": Exercise(
        lambda counts: released_median(counts).values.clamp(min=RELEASED_FLOOR).tolist(),
        "no bin holds half of the pixels, so the search ends in the empty bin 99 with a running total of 4950: "
        "is half of the pixels less than that?",
    ),
}
