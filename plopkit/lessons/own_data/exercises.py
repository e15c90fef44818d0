"""Your own data (lesson 12): the exercises."""

from typing import Any

from plopkit.lessons.exercises import Exercise


def overlap(predicted: Any, truth: Any, label: int) -> float:
    """The IoU of a label in one picture, in percent."""
    own, true = predicted == label, truth == label
    return 100 * float((own & true).sum() / (own | true).sum())


EXERCISES: dict[str, Exercise] = {
    "12.1": Exercise(
        lambda names: set(range(len(names))) | {255},
        "a label for each line of classes.txt, beginning with 0, and the label of ignored pixels",
        solution='answer = {*range(len(names)), 255}\nlesson.check("12.1", answer, names=names)',
    ),
    "12.2": Exercise(
        overlap,
        "pixels where both masks have the label, divided by those where either has it, in percent",
        solution="own, true = predicted == 3, picture.mask == 3\n"
        "answer = 100 * (own & true).sum() / (own | true).sum()\n"
        'print(f"{answer:.1f} %")\n'
        'lesson.check("12.2", answer, predicted=predicted, truth=picture.mask, label=3)',
        margin=0.05,
    ),
}
