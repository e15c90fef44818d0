"""How one run is trained (lessons 00 and 06): the exercises."""

from typing import Any

import numpy as np

from plopkit.lessons.exercises import Exercise


def column(summary: Any, method: str, name: str) -> list[float]:
    """A method's column of a summary, step by step."""
    return summary.loc[summary["method"] == method, name].tolist()


EXERCISES: dict[str, Exercise] = {
    "00.1": Exercise(
        lambda summary: column(summary, "ft", "old_nobg")[0] - column(summary, "ft", "old_nobg")[-1],
        "the table has the mIoU of the old classes before and after: subtract",
        solution='old = summary[summary["method"] == "ft"]["old_nobg"].to_numpy()\n'
        'lesson.check("00.1", old[0] - old[-1], summary=summary)',
        margin=0.1,
    ),
    "00.2": Exercise(
        lambda summary: column(summary, "ft", "new")[-1] - column(summary, "plop", "new")[-1],
        "compare the two methods in the last column of the new classes",
        solution='new = summary.groupby("method")["new"].last()\n'
        'lesson.check("00.2", new["ft"] - new["plop"], summary=summary)',
        margin=0.1,
    ),
    "06.1": Exercise(
        lambda settings, images: settings.optim.epochs * (images // settings.optim.batch),
        "epochs times full batches: an epoch's last batch is left out if it is not full",
        solution='images, optim = int(steps.loc[0, "training images"]), form.settings.optim\n'
        "answer = optim.epochs * (images // optim.batch)\n"
        'lesson.check("06.1", answer, settings=form.settings, images=images)',
    ),
    "06.2": Exercise(
        lambda ticks: np.divide(*ticks.groupby("step")["seconds"].median().iloc[[-1, 0]]),
        "folder.ticks has the seconds of every iteration; take the median for each step",
        solution="import numpy as np\n"
        "\n"
        "def ratio(seconds):\n"
        "    return np.divide(*seconds.median().iloc[[-1, 0]])\n"
        "\n"
        'live.then(lambda run: lesson.check("06.2", ratio(run.ticks.groupby("step")["seconds"]), ticks=run.ticks))',
        tolerance=1e-2,
    ),
}
