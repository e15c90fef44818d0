"""Who learns what when (lesson 01): the exercises."""

import numpy as np

from plopkit.lessons.exercises import Exercise

EXERCISES: dict[str, Exercise] = {
    "01.1": Exercise(
        lambda scenario, train: (np.sum([step.trains_on(train) for step in scenario.steps], axis=0) > 1).sum(),
        "step.trains_on(train) says which images a step trains on; add these up over the steps, image by image",
    ),
    "01.2": Exercise(
        lambda step, channels: {step.seen[channel] for channel in channels},
        "step.seen lists the labels by channel",
    ),
}
