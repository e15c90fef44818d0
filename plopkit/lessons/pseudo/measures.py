"""How right pseudo-labels are, in hindsight: judged by the true masks, which training never sees."""

from enum import IntEnum
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plopkit.datasets.scenario_data import channels_of
from plopkit.pseudo import Thresholds, pseudo_label, uncertainty
from plopkit.scenario import IGNORE, Step


class Judged(IntEnum):
    """What became of a pixel."""

    GIVEN = 0
    """its training mask shows a new class, or asks for nothing, or the truth is not known: no pseudo-label is asked"""
    UNSURE = 1
    """background in the training mask, and the teacher is not sure: no label"""
    RIGHT = 2
    """the true old class, or background where there is none"""
    MISSED = 3
    """an old object called background"""
    CONFUSED = 4
    """an old object called another old class"""
    INVENTED = 5
    """background called an old class"""
    FUTURE = 6
    """an object that no step has shown yet called an old class; called background, it is RIGHT"""


def classify_pseudo_labels(
    pseudo: Int[Tensor, "B H W"], target: Int[Tensor, "B H W"], masks: Int[Tensor, "B H W"], step: Step
) -> Int[Tensor, "B H W"]:
    """Every pixel's `Judged`.

    pseudo: the target of `pseudo_label`; target: channels as the training masks show them; masks: the true labels.
    """
    truth = channels_of(masks, step, "seen")
    asked = (target < step.n_old) & (truth != IGNORE)
    future = torch.isin(masks, torch.tensor(step.future, dtype=masks.dtype, device=masks.device))
    found = torch.full_like(target, Judged.GIVEN)
    # The later lines overrule the earlier ones.
    for kind, where in (
        (Judged.CONFUSED, pseudo != truth),
        (Judged.INVENTED, (pseudo != truth) & (truth == 0)),
        (Judged.FUTURE, (pseudo != truth) & future),
        (Judged.MISSED, (pseudo != truth) & (pseudo == 0)),
        (Judged.RIGHT, pseudo == truth),
        (Judged.UNSURE, pseudo == IGNORE),
    ):
        found[asked & where] = kind
    return found


class Precision(NamedTuple):
    """How many of some pixels get a label below a threshold, and how many of those labels are right."""

    thresholds: Float[Tensor, " T"]
    """NaN for class-wise thresholds, which are no single number"""
    share: Float[Tensor, " T"]
    """that get a label; of all background pixels together it is the adaptive factor"""
    right: Float[Tensor, " T"]
    """of the labels that are right; NaN where there is none"""


def precision_curve(
    old_logits: Float[Tensor, "B C_old H W"],
    target: Int[Tensor, "B H W"],
    masks: Int[Tensor, "B H W"],
    step: Step,
    points: int = 200,
) -> dict[str, Precision]:
    """For "all" background pixels, and for the "objects" that the teacher gives to an old class: what one threshold for
    all classes labels, from 1 / points to 1. At 1 every pixel is taken as sure. Arguments as in `judge`."""
    predicted = old_logits.argmax(1)
    verdict = classify_pseudo_labels(predicted, target, masks, step)  # as if the teacher were sure everywhere
    bins = (uncertainty(old_logits) * points).long().clamp(max=points - 1)
    thresholds = torch.arange(1, points + 1) / points
    found = {}
    for kind, asked in _kinds(verdict != Judged.GIVEN, predicted).items():
        labelled, right = (
            torch.bincount(bins[asked & part], minlength=points).cumsum(0).float()
            for part in (asked, verdict == Judged.RIGHT)
        )
        found[kind] = Precision(thresholds, labelled / labelled[-1], right / labelled)
    return found


def precision_at(
    old_logits: Float[Tensor, "B C_old H W"],
    target: Int[Tensor, "B H W"],
    masks: Int[Tensor, "B H W"],
    step: Step,
    thresholds: Thresholds,
) -> dict[str, Precision]:
    """The same for class-wise thresholds: one point (T = 1) for each kind of pixels."""
    pseudo = pseudo_label(old_logits, target, step.n_old, thresholds)
    verdict = classify_pseudo_labels(pseudo.target, target, masks, step)
    found = {}
    for kind, asked in _kinds(verdict != Judged.GIVEN, old_logits.argmax(1)).items():
        labelled, right = ((asked & part).sum()[None] for part in (verdict > Judged.UNSURE, verdict == Judged.RIGHT))
        found[kind] = Precision(torch.full((1,), torch.nan), labelled / asked.sum(), right / labelled)
    return found


def _kinds(asked: Tensor, predicted: Tensor) -> dict[str, Tensor]:
    return {"all": asked, "objects": asked & (predicted != 0)}
