"""Lesson 09, what the released code computes: the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.lessons.thresholds.measures import uncertainty_scale
from plopkit.thresholds import RELEASED_FLOOR, released_median

EXERCISES: dict[str, Exercise] = {
    "09.1": Exercise(
        lambda: next(c for c in range(2, 200) if 1 / uncertainty_scale(c, c + 1) < 0.005),
        "r is at most 1 / (C ln C'); set C' = C + 1 and try numbers of channels with lesson.uncertainty_scale",
        solution="answer = next(c for c in range(2, 200) if 1 / lesson.uncertainty_scale(c, c + 1) < 0.005)\n"
        'lesson.check("09.1", answer)',
    ),
    "09.2": Exercise(
        lambda counts: released_median(counts).values.clamp(min=RELEASED_FLOOR).tolist(),
        "no bin holds half of the pixels, so the search ends in the empty bin 99 with a running total of 4950: "
        "is half of the pixels less than that?",
        solution="answer = released_median(counts).values.clamp(min=0.001).tolist()\n"
        "print(answer)  # at the end the code's total is 4950: half of the pixels is below it, then above\n"
        'lesson.check("09.2", answer, counts=counts)',
    ),
}
