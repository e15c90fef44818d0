"""The two arithmetics of PLOP's limits side by side: what the released one can reach, and what each lets through."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import pandas as pd
import torch
from jaxtyping import Float, Int, Integer
from torch import Tensor

from plopkit.pseudo import MEDIAN_BINS, Thresholds, median_histogram, pseudo_label, released_histogram
from plopkit.scenario import Scenario
from plopkit.thresholds import RELEASED_BINS, RELEASED_FLOOR, binned_median

FINE_BINS = 64  # for pictures; divides MEDIAN_BINS


def scale(n_old: int, n_seen: int) -> float:
    """n_old · ln n_seen: the normalised entropy H / ln n_old over the released measure of the same pixel.

    The released mean divides by n_old once more, and the limits' histogram by ln n_seen: the measure ends at 1 / scale.
    """
    return n_old * math.log(n_seen)


def reach(scenarios: Iterable[str]) -> pd.DataFrame:
    """One row per scenario and step after the first: how much of [0, 1] the released measure can reach.

    ``largest`` is its largest value, ``bins`` how many of the 100 it can fall into. The rest is H / ln n_old, the
    uncertainty between 0 and 1, cut at 1: under the ``floor`` (0.001); under ``sure``, the limit of a class whose
    pixels all fall into bin 0 (0.005); and in ``bin 0`` (0.01). The 1e-8 inside the released logarithm is left out.
    """
    rows = []
    for scenario in map(Scenario.parse, scenarios):
        for step in scenario.steps[1:]:
            times = scale(step.n_old, step.n_seen)
            ends = {"floor": RELEASED_FLOOR, "sure": 0.5 / RELEASED_BINS, "bin 0": 1 / RELEASED_BINS}
            rows.append(
                {
                    "scenario": str(scenario),
                    "step": step.index,
                    "n_old": step.n_old,
                    "n_seen": step.n_seen,
                    "largest": 1 / times,
                    "bins": min(RELEASED_BINS, math.floor(RELEASED_BINS / times) + 1),
                }
                | {name: min(1.0, value * times) for name, value in ends.items()}
            )
    return pd.DataFrame(rows).set_index(["scenario", "step"])


def limit_of_share(share: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """The released limit of a class with this share of its pixels in bin 0 and all others in bin 1.

    The walk's total is 0 before bin 0 and still 0 before bin 1, for bin 0 adds its index.
    """
    inside = torch.where(share >= 0.5, share, 1 - share)
    return ((share < 0.5) + 0.5 / inside) / RELEASED_BINS


class Histograms(NamedTuple):
    """Background pixels by the class that the teacher predicts, in three measures."""

    released: Int[Tensor, "n_old 100"]
    """by the released measure, over [0, 1]"""
    fine: Int[Tensor, "n_old fine"]
    """by H / ln n_old, over [0, 1]"""
    medians: Float[Tensor, " n_old"]
    """the true medians of H / ln n_old"""
    scale: float
    """H / ln n_old over the released measure"""


def histograms(
    old_logits: Float[Tensor, "B n_old H W"], target: Integer[Tensor, "B H W"], n_seen: int, temperature: float = 1.0
) -> Histograms:
    """What either arithmetic counts. The logits are divided by ``temperature``: above 1 a less sure teacher of the same
    opinions. ValueError for a temperature that is not positive, and those of `released_thresholds`."""
    if temperature <= 0:
        raise ValueError(f"a temperature is above 0, not {temperature}")
    n_old = old_logits.shape[1]
    batches = [(old_logits / temperature, target)]
    exact = median_histogram(batches, n_old)
    fine = exact.view(n_old, FINE_BINS, MEDIAN_BINS // FINE_BINS).sum(2)
    return Histograms(released_histogram(batches, n_old, n_seen), fine, binned_median(exact), scale(n_old, n_seen))


def let_through(
    thresholds: Thresholds,
    old_logits: Float[Tensor, "B n_old H W"],
    target: Integer[Tensor, "B H W"],
    truth: Integer[Tensor, "B H W"],
    names: Sequence[str],
) -> pd.DataFrame:
    """What the limits let through, per channel of the teacher and for ``all``; shares in percent.

    truth: the true channels, 255 where nobody knows. names: of the channels. ``limit``: the threshold as H / ln n_old.
    ``pixels``: background pixels that the teacher gives the channel; ``sure``: the share that gets a pseudo-label;
    ``right``: the share of these that are true; ``found``: of the background pixels that are truly of the class, the
    share that gets it as its pseudo-label.
    """
    n_old = old_logits.shape[1]
    pseudo = pseudo_label(old_logits, target, n_old, thresholds)
    asked = (target < n_old) & (truth < 255)
    predicted, given, true = old_logits.argmax(dim=1)[asked], pseudo.target[asked], truth[asked]
    sure = given < n_old
    times = scale(n_old, len(thresholds.values)) if thresholds.kind == "released" else 1.0
    right = sure & (given == true)

    def row(name: str, of: Tensor, truly: Tensor, limit: float) -> dict[str, object]:
        counts = [int(part.sum()) for part in (of, sure & of, right & of, truly, right & truly)]
        pixels, kept, hits, there, hit = counts
        shares = {"sure": _percent(kept, pixels), "right": _percent(hits, kept), "found": _percent(hit, there)}
        return {"class": name, "pixels": pixels, "limit": limit} | shares

    limits = (thresholds.values[:n_old] * times).tolist()
    rows = [row(names[k], predicted == k, true == k, limits[k]) for k in range(n_old)]
    everything = torch.ones_like(sure)
    old = (true > 0) & (true < n_old)  # what a pseudo-label is there to find
    return pd.DataFrame([*rows, row("all", everything, old, math.nan)]).set_index("class")


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else math.nan
