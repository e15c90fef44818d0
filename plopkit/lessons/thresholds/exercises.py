"""The thresholds of the released code (lesson 09): the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.lessons.thresholds.measures import scale
from plopkit.thresholds import RELEASED_FLOOR, released_median

EXERCISES: dict[str, Exercise] = {
    "09.1": Exercise(
        lambda: next(c for c in range(2, 200) if 1 / scale(c, c + 1) < 0.005),
        "u ends at 1 / (C ln C'); put C' = C + 1 and try numbers of channels with limits.scale",
    ),
    "09.2": Exercise(
        lambda counts: released_median(counts).values.clamp(min=RELEASED_FLOOR).tolist(),
        "no bin holds half, so the walk ends in the empty bin 99 with a total of 4950: is half of the pixels below it?",
    ),
}
