"""The lessons' exercises: what the right answer is, worked out from what the notebook gives, and a hint."""

import html
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

from plopkit.lessons.gradients.measures import whole_net
from plopkit.lessons.growing.measures import overtaken
from plopkit.lessons.thresholds.measures import scale
from plopkit.pod import local_pod, pod_distance
from plopkit.support.errors import unknown
from plopkit.thresholds import RELEASED_FLOOR, released_median


@dataclass(frozen=True)
class Exercise:
    """``truth(**given)`` is the right answer; ``hint`` is shown to who has not found it."""

    truth: Callable[..., Any]
    hint: str
    tolerance: float = 1e-4
    """relative, for numbers; wider where the notebook prints rounded ones, which are as right"""


def column(summary: Any, method: str, name: str) -> list[float]:
    """A method's column of a summary, step by step."""
    return summary.loc[summary["method"] == method, name].tolist()


EXERCISES: dict[str, Exercise] = {
    "00.1": Exercise(
        lambda summary: column(summary, "ft", "old_nobg")[0] - column(summary, "ft", "old_nobg")[-1],
        "the table has the mIoU of the old classes before and after: subtract",
        tolerance=1e-2,
    ),
    "00.2": Exercise(
        lambda summary: column(summary, "ft", "new")[-1] - column(summary, "plop", "new")[-1],
        "compare the two methods in the last column of the new classes",
        tolerance=1e-2,
    ),
    "01.1": Exercise(
        lambda scenario, train: (np.sum([step.trains_on(train) for step in scenario.steps], axis=0) > 1).sum(),
        "step.trains_on(train) says which images a step trains on; add these up over the steps, image by image",
    ),
    "01.2": Exercise(
        lambda step, channels: {step.seen[channel] for channel in channels},
        "step.seen lists the labels by channel",
    ),
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
    "03.1": Exercise(
        lambda head, scales: local_pod(head, scales).shape[1],
        "at scale s there are s * s regions of side W // s, and each has two strips of that length per channel",
    ),
    "03.2": Exercise(
        lambda net, teacher, scales: pod_distance(net, teacher, scales).item(),
        "pod_regions gives a scale's parts: square them, add them up over all regions and all scales, take the root",
    ),
    "04.1": Exercise(
        lambda pseudo: pseudo.factor[0].item(),
        "of the pixels with target[0] == 0, which share has pseudo.sure[0]? `a & b` is true where both are",
        tolerance=5e-3,
    ),
    "04.2": Exercise(
        lambda curve, wanted: curve.thresholds[curve.share >= wanted][0].item(),
        "curve.share rises with curve.thresholds: take the first threshold where it is at least as much as wanted",
    ),
    "05.1": Exercise(
        lambda table: set(table.index[table["new classifier"] == 0]),
        'table["new classifier"] == 0 is a row of yes and no; table.index gives (method, term)',
    ),
    "05.2": Exercise(
        lambda table: whole_net(table)["ewc", "ce"] / whole_net(table)["ewc", "penalty"],
        'whole_net(table) has the norms over the whole net; the gradient of "ewc", "penalty" grows with the factor',
        tolerance=5e-3,
    ),
    "06.1": Exercise(
        lambda settings, images: settings.optim.epochs * (images // settings.optim.batch),
        "epochs times whole batches: an epoch's last batch is left out where it is not full",
    ),
    "06.2": Exercise(
        lambda ticks: np.divide(*ticks.groupby("step")["seconds"].median().iloc[[-1, 0]]),
        "folder.ticks has the seconds of every iteration; take the median of those of each step",
        tolerance=1e-2,
    ),
    "07.1": Exercise(
        lambda lost, method: lost.query("method == @method and learned_at == 0 and label > 0")["forgetting"].mean(),
        "a row of lost is a method and a class: keep those of the method, with learned_at 0 and label above 0",
        tolerance=5e-3,
    ),
    "07.2": Exercise(
        lambda kinds: (kinds == 1).sum() / ((kinds > 0) & (kinds < 255)).sum(),
        "wrong is neither 0 nor 255; among the wrong pixels, how many have kind 1?",
        tolerance=5e-3,
    ),
    "08.1": Exercise(
        lambda results, method: results.query("method == @method and label == 0").sort_values("step")["iou"].iloc[-1],
        "old * n_old is the sum over all old classes, old_nobg * (n_old - 1) that without the background",
        tolerance=2e-2,
    ),
    "08.2": Exercise(
        lambda seeds: min(
            seeds.query("method == 'mib' and seed == @s")["new"].item()
            - seeds.query("method == 'plop' and seed == @s")["new"].item()
            for s in seeds["seed"].unique()
        ),
        'seeds.pivot(index="seed", columns="method", values="new") has a row per seed; subtract, then take the least',
        tolerance=5e-3,
    ),
    "09.1": Exercise(
        lambda: next(c for c in range(2, 200) if 1 / scale(c, c + 1) < 0.005),
        "u ends at 1 / (C ln C'); put C' = C + 1 and try numbers of channels with limits.scale",
    ),
    "09.2": Exercise(
        lambda counts: released_median(counts).values.clamp(min=RELEASED_FLOOR).tolist(),
        "no bin holds half, so the walk ends in the empty bin 99 with a total of 4950: is half of the pixels below it?",
    ),
}
"""By lesson and number, such as "01.2"."""


@dataclass(frozen=True)
class Verdict:
    """Right, wrong, or not answered yet, as a notebook shows it."""

    right: bool | None
    text: str

    def __str__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        colour = {True: "#009E73", False: "#D55E00", None: "#666666"}[self.right]
        return f'<div style="border-left:4px solid {colour};padding:.3em .8em">{html.escape(self.text)}</div>'


def check(name: str, answer: Any, **given: Any) -> Verdict:
    """Is the answer to exercise ``name`` right? ``given`` is what the notebook has that the truth is worked out from.

    None is no answer yet. ValueError for an exercise that does not exist.
    """
    if name not in EXERCISES:
        raise unknown("exercise", name, EXERCISES)
    exercise = EXERCISES[name]
    if answer is None:
        return Verdict(None, f"Exercise {name}: no answer yet. (A wrong one gets a hint.)")
    if same(answer, exercise.truth(**given), exercise.tolerance):
        return Verdict(True, f"Exercise {name}: right.")
    return Verdict(False, f"Exercise {name}: not right yet. Hint: {exercise.hint}")


def same(answer: Any, truth: Any, tolerance: float) -> bool:
    """Numbers and arrays up to a relative tolerance; sets in any order, as any collection."""
    if isinstance(truth, (set, frozenset)):
        return isinstance(answer, Collection) and not isinstance(answer, str) and set(answer) == truth
    try:
        found, wanted = np.asarray(answer, dtype=float), np.asarray(truth, dtype=float)
    except (TypeError, ValueError):
        return False
    return found.shape == wanted.shape and bool(np.allclose(found, wanted, rtol=tolerance, atol=1e-9, equal_nan=True))
