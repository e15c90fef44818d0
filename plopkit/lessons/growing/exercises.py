"""A net that grows (lesson 02): the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.lessons.growing.measures import overtaken

EXERCISES: dict[str, Exercise] = {
    "02.1": Exercise(
        lambda background, n_new: background / (n_new + 1),
        "the background and the n_new new classes share the background's former probability equally",
        tolerance=5e-3,
    ),
    "02.2": Exercise(
        lambda old_logits, n_new: overtaken(old_logits, n_new).float().mean().item(),
        "the background's logit decreases by ln(n_new + 1), the others stay; where is another one the largest then?",
        tolerance=1e-2,
    ),
}
