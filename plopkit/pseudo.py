"""Pseudo-labels by uncertainty (PLOP, Douillard et al., CVPR 2021, section 3.3).

The teacher labels a background pixel where it is confident: where its uncertainty u is below the threshold τ of the
class c that it predicts. With the teacher's probabilities p over C channels, and the pixel's target y (eq. 7):

    u = H(p) / ln C,   H(p) = − Σ_c p_c ln p_c,   c = argmax p,

    y' = y  for a new class,   c  for background with u < τ_c,   255 (ignored)  for the rest of the background.

The paper's τ_c is the median of u over the background pixels predicted as c; the released code computes something else.
Both are here: `median_thresholds` and `released_thresholds`. The cross-entropy of an image is weighted by its adaptive
factor ν, the share of its background that is confident (eq. 8). Half precision is computed in float32.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from plopkit.entropy import released_uncertainty, uncertainty
from plopkit.histograms import (
    MEDIAN_BINS,
    Batches,
    Reduce,
    check_channels,
    check_counts,
    median_histogram,
    released_histogram,
)
from plopkit.scenario import ignored_id
from plopkit.support.moved import renamed
from plopkit.support.prediction import predicted_channel
from plopkit.thresholds import RELEASED_FLOOR, binned_median, released_median

__all__ = [
    "MEDIAN_BINS",
    "Batches",
    "MedianThresholds",
    "PseudoLabels",
    "Reduce",
    "ReleasedThresholds",
    "Thresholds",
    "confident_share",
    "median_histogram",
    "median_thresholds",
    "pseudo_label",
    "released_histogram",
    "released_thresholds",
    "released_uncertainty",
    "uncertainty",
]

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


@dataclass(frozen=True, eq=False)
class Thresholds(ABC):
    """One threshold per channel seen, with the measure of uncertainty that it limits.

    ``Thresholds(values, kind)`` makes a `ReleasedThresholds` or a `MedianThresholds`.

    Args:
        values: (n_seen,) thresholds by channel.
        kind: "released" or "median".

    Raises:
        ValueError: for another kind.

    Example:
        >>> Thresholds(torch.full((21,), 0.2), "median").kind
        'median'
    """

    values: Float[Tensor, " n_seen"]
    kind: InitVar[str] = "released"

    def __new__(cls, *args: Any, **kwargs: Any) -> "Thresholds":
        if cls is Thresholds:
            kind = args[1] if len(args) > 1 else kwargs.get("kind", "released")
            if kind not in _KINDS:
                raise ValueError(f"thresholds are 'released' or 'median', not {kind!r}")
            cls = _KINDS[kind]
        return super().__new__(cls)

    @abstractmethod
    def uncertainty(self, old_logits: Float[Tensor, "B C_old H W"]) -> Float[Tensor, "B H W"]:
        """The measure that is compared with the thresholds."""

    @abstractmethod
    def scale(self, n_old: int) -> float:
        """The factor from this measure to the normalised entropy H / ln n_old of the same pixel."""

    def of(self, classes: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The threshold of each of these channels."""
        return self.values.to(classes.device)[classes]


@dataclass(frozen=True, eq=False)
class ReleasedThresholds(Thresholds):
    """Thresholds on the released entropy divided by ln n_seen, as the released code has them."""

    kind = "released"

    def uncertainty(self, old_logits: Float[Tensor, "B C_old H W"]) -> Float[Tensor, "B H W"]:
        """The released entropy / ln n_seen."""
        return released_uncertainty(old_logits) / math.log(len(self.values))

    def scale(self, n_old: int) -> float:
        return n_old * math.log(len(self.values))


@dataclass(frozen=True, eq=False)
class MedianThresholds(Thresholds):
    """Thresholds on the normalised entropy, as the paper has them."""

    kind = "median"

    def uncertainty(self, old_logits: Float[Tensor, "B C_old H W"]) -> Float[Tensor, "B H W"]:
        """The normalised entropy H / ln n_old."""
        return uncertainty(old_logits)

    def scale(self, n_old: int) -> float:
        return 1.0


_KINDS: dict[str, type[Thresholds]] = {"released": ReleasedThresholds, "median": MedianThresholds}


class PseudoLabels(NamedTuple):
    """What the teacher adds to a batch of targets."""

    target: Int[Tensor, "B H W"]
    """new channels as they were; below n_old the teacher's class where it is confident, else 255"""
    uncertainty: Float[Tensor, "B H W"]
    """the measure that was compared with the thresholds"""
    confident: Bool[Tensor, "B H W"]
    """uncertainty < threshold of the predicted class, at every pixel"""
    factor: Float[Tensor, " B"]
    """adaptive factor ν: the `confident_share` of an image's background"""

    @property
    def sure(self) -> Tensor:
        """`confident`, by its earlier name."""
        return self.confident


def released_thresholds(
    batches: Batches, n_old: int, n_seen: int, floor: float = RELEASED_FLOOR, reduce: Reduce | None = None
) -> Thresholds:
    """The thresholds of the released code: max(`released_median`, floor).

    Args:
        batches: the teacher's logits and targets.
        n_old: channels of the teacher.
        n_seen: channels of the net.
        floor: the smallest threshold; that of a class never predicted, and of new classes.
        reduce: sums the histogram (n_old, 100) over processes.

    Raises:
        ValueError: without a batch; where logits are not finite or do not have n_old channels; where n_seen < n_old.
    """
    counts = released_histogram(batches, n_old, n_seen, reduce)
    values = _padded(released_median(counts).values, n_seen).clamp(min=floor)
    return ReleasedThresholds(values.to(counts.device))


def median_thresholds(
    batches: Batches,
    n_old: int,
    n_seen: int,
    floor: float = 0.0,
    ceiling: float = 1.0,
    reduce: Reduce | None = None,
) -> Thresholds:
    """The paper's thresholds: the median uncertainty of the background pixels, by predicted class.

    They come from a histogram (`median_histogram`) and are exact to 1e-5 with up to 256 old channels, to 4e-5 with
    1,000. The paper names 0.001 a maximum, the released code uses it as a minimum.

    Args:
        batches: the teacher's logits and targets.
        n_old: channels of the teacher.
        n_seen: channels of the net.
        floor, ceiling: bounds of the thresholds; a class never predicted, and a new one, has ``floor``.
        reduce: sums the histogram over processes.

    Raises:
        ValueError: as for `released_thresholds`, and where floor > ceiling.
    """
    check_counts(n_old, n_seen)
    if floor > ceiling:
        raise ValueError(f"the floor {floor} of the thresholds exceeds their ceiling {ceiling}")
    counts = median_histogram(batches, n_old, reduce)
    return MedianThresholds(_padded(binned_median(counts), n_seen).clamp(floor, ceiling).to(counts.device))


@torch.no_grad()
def pseudo_label(
    old_logits: Float[Tensor, "B C_old H W"],
    target: Integer[Tensor, "B H W"],
    n_old: int,
    thresholds: Thresholds,
    shows_old: bool = False,
) -> PseudoLabels:
    """Let the teacher label the pixels with a target below ``n_old``, where it is confident (eq. 7).

    In training, each image's cross-entropy is multiplied by ``factor`` (eq. 8).

    Args:
        old_logits: the teacher's.
        target: channels, 255 where ignored.
        n_old: channels of the teacher.
        thresholds: one per channel seen.
        shows_old: whether targets show old classes, as those of a memory do: then the teacher labels only pixels with
            target 0.

    Raises:
        ValueError: where the logits do not have n_old channels, or have more than there are thresholds.
    """
    check_channels(old_logits, n_old)
    check_counts(n_old, len(thresholds.values))
    predicted = predicted_channel(old_logits)
    measured = thresholds.uncertainty(old_logits)
    confident = measured < thresholds.of(predicted)
    background = target == 0 if shows_old else target < n_old
    ignored = ignored_id(len(thresholds.values))
    labelled = torch.where(background, torch.where(confident, predicted, ignored), target)
    n_confident, n_background = (mask.sum(dim=(1, 2)) for mask in (confident & background, background))
    return PseudoLabels(labelled, measured, confident, confident_share(n_confident, n_background))


def confident_share(n_confident: Integer[Tensor, "*n"], n_background: Integer[Tensor, "*#n"]) -> Float[Tensor, "*n"]:
    """The share of background pixels that are confident, n_confident / (n_background + 1e-6): 0 without background."""
    return n_confident.float() / (n_background.float() + 1e-6)


def _padded(values: Tensor, n_seen: int) -> Tensor:
    return torch.cat([values, values.new_zeros(n_seen - len(values))])
