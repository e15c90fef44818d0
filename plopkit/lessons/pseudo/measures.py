"""How many pseudo-labels are right, judged by the true masks, which training never sees."""

from enum import IntEnum
from typing import NamedTuple

import pandas as pd
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor
from torch.nn.functional import max_pool2d

from plopkit.datasets.scenario_data import channels_of
from plopkit.pseudo import Thresholds, confident_share, pseudo_label, uncertainty
from plopkit.scenario import IGNORE, Step
from plopkit.support.prediction import predicted_channel


class Outcome(IntEnum):
    """What became of a pixel."""

    EXCLUDED = 0
    """Its training mask shows a new class or is ignored, or the truth is unknown: it needs no pseudo-label."""
    UNSURE = 1
    """Background in the training mask, and the teacher is unsure: it is ignored."""
    RIGHT = 2
    """The true old class; or background, where there is no old class."""
    MISSED = 3
    """An old object called background."""
    CONFUSED = 4
    """An old object called another old class."""
    INVENTED = 5
    """Background called an old class."""
    FUTURE = 6
    """An object of a later step called an old class; called background, it is RIGHT."""


def classify_pseudo_labels(
    pseudo: Int[Tensor, "B H W"], target: Int[Tensor, "B H W"], masks: Int[Tensor, "B H W"], step: Step
) -> Int[Tensor, "B H W"]:
    """The `Outcome` of every pixel.

    Args:
        pseudo: the target that `plopkit.pseudo.pseudo_label` made: channels.
        target: the training masks: channels.
        masks: the true labels.
        step: the step that is trained.
    """
    truth = channels_of(masks, step, "seen")
    candidate = (target < step.n_old) & (truth != IGNORE)
    future = torch.isin(masks, torch.tensor(step.future, dtype=masks.dtype, device=masks.device))
    outcome = torch.full_like(target, Outcome.EXCLUDED)
    # Later lines overrule earlier ones.
    for kind, where in (
        (Outcome.CONFUSED, pseudo != truth),
        (Outcome.INVENTED, (pseudo != truth) & (truth == 0)),
        (Outcome.FUTURE, (pseudo != truth) & future),
        (Outcome.MISSED, (pseudo != truth) & (pseudo == 0)),
        (Outcome.RIGHT, pseudo == truth),
        (Outcome.UNSURE, pseudo == IGNORE),
    ):
        outcome[candidate & where] = kind
    return outcome


def outcome_table(outcomes: Integer[Tensor, "B H W"], masks: Int[Tensor, "B H W"], step: Step) -> pd.DataFrame:
    """What became of the pixels that need a pseudo-label, and of those among them that show an old object.

    Args:
        outcomes: result of `classify_pseudo_labels`.
        masks: the true labels.
        step: the step that is trained.

    Returns:
        Numbers of pixels: a row for each `Outcome` but EXCLUDED, columns `all` and `old objects`.
    """
    old = torch.isin(masks, torch.tensor(step.old[1:], dtype=masks.dtype, device=masks.device))
    groups = {"all": outcomes, "old objects": outcomes[old]}
    kinds = [kind for kind in Outcome if kind != Outcome.EXCLUDED]
    return pd.DataFrame({name: {kind: int((group == kind).sum()) for kind in kinds} for name, group in groups.items()})


class Precision(NamedTuple):
    """The share of some pixels that get a label below each threshold, and the share of these labels that are right."""

    thresholds: Float[Tensor, " T"]
    """NaN for class-wise thresholds, which are no single number."""
    share: Float[Tensor, " T"]
    """Of the pixels that get a label, their `confident_share`: for all pixels, the adaptive factor of the batch."""
    right: Float[Tensor, " T"]
    """Of the labels that are right; NaN where there is no label."""


def precision_curve(
    old_logits: Float[Tensor, "B C_old H W"],
    target: Int[Tensor, "B H W"],
    masks: Int[Tensor, "B H W"],
    step: Step,
    points: int = 200,
) -> dict[str, Precision]:
    """What a single threshold for all classes labels, for every threshold from 1 / points to 1.

    At 1 every pixel counts as confident.

    Args:
        old_logits: logits of the teacher.
        target: the training masks: channels.
        masks: the true labels.
        step: the step that is trained.
        points: number of thresholds.

    Returns:
        "all": of all background pixels; "objects": of those that the teacher assigns to an old class.
    """
    predicted = predicted_channel(old_logits)
    outcome = classify_pseudo_labels(predicted, target, masks, step)  # as if the teacher were confident everywhere
    bins = (uncertainty(old_logits) * points).long().clamp(max=points - 1)
    thresholds = torch.arange(1, points + 1) / points
    curves = {}
    for name, pixels in _groups(outcome != Outcome.EXCLUDED, predicted).items():
        labelled, right = (
            torch.bincount(bins[pixels & part], minlength=points).cumsum(0)
            for part in (pixels, outcome == Outcome.RIGHT)
        )
        curves[name] = Precision(thresholds, confident_share(labelled, labelled[-1]), right / labelled)
    return curves


def precision_at(
    old_logits: Float[Tensor, "B C_old H W"],
    target: Int[Tensor, "B H W"],
    masks: Int[Tensor, "B H W"],
    step: Step,
    thresholds: Thresholds,
) -> dict[str, Precision]:
    """The same for class-wise thresholds: a single point (T = 1) for each group of pixels."""
    pseudo = pseudo_label(old_logits, target, step.n_old, thresholds)
    outcome = classify_pseudo_labels(pseudo.target, target, masks, step)
    points = {}
    for name, pixels in _groups(outcome != Outcome.EXCLUDED, predicted_channel(old_logits)).items():
        labelled, right = ((pixels & part).sum()[None] for part in (outcome > Outcome.UNSURE, outcome == Outcome.RIGHT))
        points[name] = Precision(torch.full((1,), torch.nan), confident_share(labelled, pixels.sum()), right / labelled)
    return points


def _groups(candidates: Bool[Tensor, "B H W"], predicted: Int[Tensor, "B H W"]) -> dict[str, Bool[Tensor, "B H W"]]:
    return {"all": candidates, "objects": candidates & (predicted != 0)}


def spread_images(
    outcomes: Integer[Tensor, "B H W"], labelled: Integer[Tensor, "B H W"], count: int
) -> Int[Tensor, " n"]:
    """Images to show, evenly spaced from that with the most right pseudo-labels of old classes to that with the fewest.

    Args:
        outcomes: result of `classify_pseudo_labels`.
        labelled: the target with pseudo-labels: channels.
        count: number of images, at most.
    """
    right = ((outcomes == Outcome.RIGHT) & (labelled > 0)).sum((1, 2))
    ranked = right.argsort(descending=True, stable=True)
    places = torch.linspace(0, len(ranked) - 1, min(count, len(ranked))).round().long()
    return ranked[places]


class TeacherView(NamedTuple):
    """What the teacher makes of images that show old and new objects."""

    recognised: float
    """The share of the pixels of old objects that it predicts right."""
    taken: float
    """The share of the pixels of new objects that it takes for an old class."""
    uncertainty: dict[str, float]
    """The median of its uncertainty in the background, inside objects and at edges; NaN where there are no pixels."""


def teacher_view(
    old_logits: Float[Tensor, "B C_old H W"], masks: Int[Tensor, "B H W"], step: Step, width: int = 2
) -> TeacherView:
    """What the teacher makes of images, judged by the true masks.

    Args:
        old_logits: logits of the teacher.
        masks: the true labels.
        step: the step that is trained.
        width: pixels at most this far from another class are at an edge.
    """
    truth, predicted, unsure = channels_of(masks, step, "seen"), predicted_channel(old_logits), uncertainty(old_logits)
    old, new = (truth > 0) & (truth < step.n_old), (truth >= step.n_old) & (truth < step.n_seen)
    edges, known = _near_another(truth, width), truth != IGNORE
    places = {"background": (truth == 0) & ~edges, "objects": (old | new) & ~edges, "edges": known & edges}
    medians = {name: float(unsure[where].median()) for name, where in places.items()}
    return TeacherView(
        float((predicted == truth)[old].float().mean()), float((predicted[new] > 0).float().mean()), medians
    )


def _near_another(truth: Int[Tensor, "B H W"], width: int) -> Bool[Tensor, "B H W"]:
    """Pixels that are at most `width` from one of another value."""
    values = truth.float()[:, None]
    highest, lowest = (max_pool2d(sign * values, 2 * width + 1, 1, width) for sign in (1, -1))
    return (highest != -lowest)[:, 0]
