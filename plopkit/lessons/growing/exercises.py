"""A net that grows (lesson 02): the exercises."""

from plopkit.lessons.exercises import Exercise
from plopkit.lessons.growing.measures import overtaken

EXERCISES: dict[str, Exercise] = {
    "02.1": Exercise(
        lambda background, n_new: background / (n_new + 1),
        "the background and the n_new new classes share the background's former probability equally",
        solution='answer = before[0] / (10 + 1)\nlesson.check("02.1", answer, background=before[0], n_new=10)',
        tolerance=5e-3,
    ),
    "02.2": Exercise(
        lambda old_logits, n_new: overtaken(old_logits, n_new).float().mean().item(),
        "the background's logit decreases by ln(n_new + 1), the others stay; where is another one the largest then?",
        solution="with torch.no_grad():\n"
        '    predicted = grown["balanced"](batch.images).logits.argmax(1)\n'
        "answer = (where & (predicted > 0) & (predicted < step.n_old)).float().mean().item()\n"
        'print(f"{answer:.2%}")\n'
        'lesson.check("02.2", answer, old_logits=output.logits, n_new=n_new)',
        margin=5e-4,
    ),
}
