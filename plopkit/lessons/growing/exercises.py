"""A net that grows (lesson 02): the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.lessons.growing.measures import overtaken

EXERCISES: dict[str, Exercise] = {
    "02.1": Exercise(
        lambda background, n_new: background / (n_new + 1),
        "the background and the n_new new classes share what the background had, evenly",
        tolerance=5e-3,
    ),
    "02.2": Exercise(
        lambda old_logits, n_new: overtaken(old_logits, n_new).float().mean().item(),
        "the background's logit falls by ln(n_new + 1), the old classes' stay; where does another become the largest?",
        tolerance=1e-2,
    ),
}
