"""Which step learns which classes (lesson 01): the exercises."""

import numpy as np

from plopkit.lessons.exercises import Exercise

EXERCISES: dict[str, Exercise] = {
    "01.1": Exercise(
        lambda scenario, train: (np.sum([step.trains_on(train) for step in scenario.steps], axis=0) > 1).sum(),
        "step.trains_on(train) says which images a step uses; for each image, count the steps",
        solution="times = sum(step.trains_on(train).astype(int) for step in voc.steps)\n"
        'lesson.check("01.1", (times > 1).sum(), scenario=voc, train=train)',
    ),
    "01.2": Exercise(
        lambda step, channels: {step.seen[channel] for channel in channels},
        "step.seen lists the labels in the order of the channels",
        solution='lesson.check("01.2", {last.seen[channel] for channel in channels}, step=last, channels=channels)',
    ),
}
