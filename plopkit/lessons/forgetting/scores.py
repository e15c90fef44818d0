"""What mIoU hides: scores of the background and of all pixels beside it, and runs that are too short to be good."""

import pandas as pd
from matplotlib.figure import Figure

from plopkit.lessons.forgetting.figures import class_history
from plopkit.settings import Settings
from plopkit.viz.curves import forgetting_curves

SCORES = {
    "all": "mIoU: all classes and background",
    "background": "IoU of the background alone",
    "pixel_accuracy": "pixels that are right",
}
"""Columns of a summary, and what they are."""


def score_curves(summary: pd.DataFrame, title: str) -> Figure:
    """mIoU, the IoU of the background and the share of right pixels after each step; a line per method.

    Args:
        summary: rows of ``summary.csv`` of one scenario.
        title: the figure's title.
    """
    return forgetting_curves(summary, title, SCORES)


def background_share(results: pd.DataFrame) -> float:
    """The percentage of the pixels that are background after the last step: what a net gets right that sees nothing.

    Args:
        results: rows of ``results.csv`` of one scenario; all of its runs are evaluated on the same pixels.
    """
    last = results[results["step"] == results["step"].max()].drop_duplicates("label")
    return float(100 * last.loc[last["label"] == 0, "pixels"].sum() / last["pixels"].sum())


def one_step_later(results: pd.DataFrame, method: str) -> pd.Series:
    """The mean IoU of the classes of steps 1 and later, in the step that learns them and one step later.

    The classes of the last step are left out: there is no later one.

    Args:
        results: rows of ``results.csv``.
        method: the method's name.
    """
    history = class_history(results[results["method"] == method])
    steps = [step for step in history.columns if 0 < step < history.columns.max()]
    learnt, later = (
        pd.concat([history.loc[step, step + shift] for step in steps]).mean() if steps else float("nan")
        for shift in (0, 1)
    )
    return pd.Series({"learnt": learnt, "one step later": later})


def first_losses(results: pd.DataFrame, method: str) -> pd.Series:
    """The points of IoU that each class of step 0 loses in step 1, by name, the largest loss first.

    Args:
        results: rows of ``results.csv``.
        method: the method's name.
    """
    history = class_history(results[results["method"] == method]).loc[0]
    lost = (history[0] - history[1]).sort_values(ascending=False, kind="stable")
    return lost.droplevel("label")


def shortened(settings: Settings, factor: int) -> Settings:
    """The same run with steps of fewer iterations: the least number of them divided by ``factor``.

    Step 0 is the same, and is not trained again.
    """
    optim = settings.optim.model_copy(update={"min_iterations": settings.optim.min_iterations // factor})
    return settings.model_copy(update={"optim": optim})
