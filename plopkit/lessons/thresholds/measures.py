"""PLOP's thresholds, as the paper defines them and as the released code computes them."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from plopkit.histograms import median_histogram, released_histogram
from plopkit.pseudo import Thresholds, pseudo_label
from plopkit.scenario import IGNORE, Scenario
from plopkit.support.prediction import predicted_channel
from plopkit.thresholds import RELEASED_BINS, RELEASED_FLOOR, binned_median

FINE_BINS = 64  # for pictures; a power of two, as `median_bins`


def uncertainty_scale(n_old: int, n_seen: int) -> float:
    """The ratio of the normalised entropy H / ln n_old to the released measure of the same pixel: n_old · ln n_seen.

    The released code takes the mean over channels instead of the sum, which divides by n_old once more, and its
    histogram divides by ln n_seen: its measure is at most 1 / scale.
    """
    return n_old * math.log(n_seen)


def released_range(scenarios: Iterable[str]) -> pd.DataFrame:
    """How much of [0, 1] the released measure can reach, per scenario and step after the first.

    The 1e-8 inside the released logarithm is neglected.

    Returns:
        A table with the columns ``n_old``, ``n_seen``, ``largest`` (the largest value of the released measure) and
        ``bins`` (how many of the 100 bins it can fall into). The other columns are borders on the scale of
        H / ln n_old, at most 1: ``floor`` (0.001), ``half bin`` (0.005, the threshold of a class whose pixels all fall
        into bin 0) and ``bin 0`` (0.01, its upper end).
    """
    borders = {"floor": RELEASED_FLOOR, "half bin": 0.5 / RELEASED_BINS, "bin 0": 1 / RELEASED_BINS}
    rows = []
    for scenario in map(Scenario.parse, scenarios):
        for step in scenario.steps[1:]:
            scale = uncertainty_scale(step.n_old, step.n_seen)
            rows.append(
                {
                    "scenario": str(scenario),
                    "step": step.index,
                    "n_old": step.n_old,
                    "n_seen": step.n_seen,
                    "largest": 1 / scale,
                    "bins": min(RELEASED_BINS, math.floor(RELEASED_BINS / scale) + 1),
                }
                | {name: min(1.0, value * scale) for name, value in borders.items()}
            )
    return pd.DataFrame(rows).set_index(["scenario", "step"])


def threshold_of_share(share: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The released threshold of a class with this share of its pixels in bin 0 and all others in bin 1.

    The search's running total is 0 at bin 0 and still 0 at bin 1, because bin 0 has added its index.
    """
    inside = torch.where(share >= 0.5, share, 1 - share)
    return ((share < 0.5) + 0.5 / inside) / RELEASED_BINS


class Histograms(NamedTuple):
    """Background pixels by the class that the teacher predicts, and their uncertainty in two measures."""

    released: Int[Tensor, "n_old 100"]
    """By the released measure, over [0, 1]."""
    fine: Int[Tensor, "n_old fine"]
    """By H / ln n_old, over [0, 1]."""
    medians: Float[Tensor, " n_old"]
    """The true medians of H / ln n_old."""
    scale: float
    """``uncertainty_scale`` of the teacher."""


def teacher_histograms(
    old_logits: Float[Tensor, "B n_old H W"], target: Integer[Tensor, "B H W"], n_seen: int, temperature: float = 1.0
) -> Histograms:
    """Count background pixels as the paper's and the released thresholds do.

    Args:
        old_logits: the teacher's logits.
        target: the batch's target; background is 0.
        n_seen: the number of channels of the new net.
        temperature: the logits are divided by it. Above 1 the teacher predicts the same classes with less certainty.

    Raises:
        ValueError: the temperature is not positive, or the arguments do not fit (see
            ``plopkit.pseudo.released_thresholds``).
    """
    if temperature <= 0:
        raise ValueError(f"temperature is {temperature}; it must be above 0")
    n_old = old_logits.shape[1]
    batches = [(old_logits / temperature, target)]
    exact = median_histogram(batches, n_old)
    fine = exact.view(n_old, FINE_BINS, -1).sum(2)
    released = released_histogram(batches, n_old, n_seen)
    return Histograms(released, fine, binned_median(exact), uncertainty_scale(n_old, n_seen))


def classes_beyond_the_gap(histograms: Histograms, names: Sequence[str]) -> list[str]:
    """The classes of which bin 0 holds less than half of the pixels, so that the released search leaves it.

    Args:
        histograms: result of ``teacher_histograms``.
        names: class names of the teacher's channels, or of more.
    """
    beyond = 2 * histograms.released[:, 0] < histograms.released.sum(1)
    return [name for name, left in zip(names, beyond.tolist(), strict=False) if left]


def pseudo_label_rates(
    thresholds: Thresholds,
    old_logits: Float[Tensor, "B n_old H W"],
    target: Integer[Tensor, "B H W"],
    truth: Integer[Tensor, "B H W"],
    names: Sequence[str],
) -> pd.DataFrame:
    """How many pixels get a pseudo-label with these thresholds, and how many of them are right.

    Args:
        thresholds: one per channel seen.
        old_logits: the teacher's logits.
        target: the batch's target.
        truth: the true channels, 255 where ignored.
        names: the channels' names.

    Returns:
        A row per channel of the teacher and one for ``all``. ``pixels``: background pixels that the teacher predicts as
        this class. ``threshold``: on the scale of H / ln n_old. The rest are percentages. ``confident``: of these
        pixels, those that get a pseudo-label. ``precision``: of the pseudo-labels, those that are right. ``recall``: of
        the background pixels that are truly of the class, those that get it as their pseudo-label; in the row ``all``,
        of those of old classes without background.
    """
    n_old = old_logits.shape[1]
    pseudo = pseudo_label(old_logits, target, n_old, thresholds)
    background = (target < n_old) & (truth != IGNORE)
    predicted, label, true = predicted_channel(old_logits)[background], pseudo.target[background], truth[background]
    confident = label < n_old
    right = confident & (label == true)
    scale = thresholds.scale(n_old)
    values = (thresholds.values[:n_old] * scale).tolist()

    def row(name: str, of_class: Tensor, truly: Tensor, threshold: float) -> dict[str, object]:
        n_class, n_labelled, n_right = (int(mask.sum()) for mask in (of_class, confident & of_class, right & of_class))
        n_true, n_found = int(truly.sum()), int((right & truly).sum())
        rates = {
            "confident": _percent(n_labelled, n_class),
            "precision": _percent(n_right, n_labelled),
            "recall": _percent(n_found, n_true),
        }
        return {"class": name, "pixels": n_class, "threshold": threshold} | rates

    rows = [row(names[k], predicted == k, true == k, values[k]) for k in range(n_old)]
    old = (true > 0) & (true < n_old)  # what pseudo-labels are meant to find
    return pd.DataFrame([*rows, row("all", torch.ones_like(confident), old, math.nan)]).set_index("class")


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else math.nan
