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
from collections.abc import Callable, Iterable
from dataclasses import InitVar, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from plopkit.scenario import ignored_id
from plopkit.support.moved import renamed
from plopkit.support.precision import at_least_float32
from plopkit.thresholds import RELEASED_BINS, RELEASED_FLOOR, binned_median, released_median

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


MEDIAN_BINS = 2**17  # a bin is 8e-6 wide; 1 MB of counts per class

Batches = Iterable[tuple[Tensor, Tensor]]
"""The teacher's logits (B, n_old, H, W) and targets (B, H, W); read once."""
Reduce = Callable[[Tensor], Tensor]
"""Sums a histogram over processes."""


def uncertainty(logits: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W"]:
    """The normalised entropy u = H(softmax) / ln C, in [0, 1].

    Raises:
        ValueError: where there are fewer than two channels.

    Example:
        >>> uncertainty(torch.zeros(1, 3, 1, 1))
        tensor([[[1.]]])
    """
    return (torch.special.entr(_probabilities(logits)).sum(dim=1) / math.log(logits.shape[1])).clamp(0, 1)


def released_uncertainty(logits: Float[Tensor, "B C H W"]) -> Float[Tensor, "B H W"]:
    """The released code's entropy, − (1 / ln C) · (1 / C) Σ_c p_c ln(p_c + 1e-8).

    The mean divides by C once more, so it reaches 1 / C only.

    Raises:
        ValueError: where there are fewer than two channels.
    """
    p = _probabilities(logits)
    return -(p * (p + 1e-8).log()).mean(dim=1) / math.log(logits.shape[1])


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
    """adaptive factor ν: confident background pixels / (background pixels + 1e-6)"""

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


def released_histogram(
    batches: Batches, n_old: int, n_seen: int, reduce: Reduce | None = None
) -> Integer[Tensor, "{n_old} 100"]:
    """The histogram behind `released_thresholds`: background pixels (target 0) by predicted class and by 100 bins of
    the released uncertainty / ln n_seen over [0, 1]. Arguments and errors are those of `released_thresholds`."""
    _check_counts(n_old, n_seen)
    return _histogram(
        batches, n_old, RELEASED_BINS, lambda logits: released_uncertainty(logits) / math.log(n_seen), reduce
    )


def median_thresholds(
    batches: Batches,
    n_old: int,
    n_seen: int,
    floor: float = 0.0,
    ceiling: float = 1.0,
    reduce: Reduce | None = None,
) -> Thresholds:
    """The paper's thresholds: the median uncertainty of the background pixels, by predicted class.

    The histogram is (n_old, 2**17), so medians are exact to 1e-5. The paper names 0.001 a maximum, the released code
    uses it as a minimum.

    Args:
        batches: the teacher's logits and targets.
        n_old: channels of the teacher.
        n_seen: channels of the net.
        floor, ceiling: bounds of the thresholds; a class never predicted, and a new one, has ``floor``.
        reduce: sums the histogram over processes.

    Raises:
        ValueError: as for `released_thresholds`, and where floor > ceiling.
    """
    _check_counts(n_old, n_seen)
    if floor > ceiling:
        raise ValueError(f"the floor {floor} of the thresholds exceeds their ceiling {ceiling}")
    counts = median_histogram(batches, n_old, reduce)
    return MedianThresholds(_padded(binned_median(counts), n_seen).clamp(floor, ceiling).to(counts.device))


def median_histogram(batches: Batches, n_old: int, reduce: Reduce | None = None) -> Integer[Tensor, "{n_old} bins"]:
    """The histogram behind `median_thresholds`: background pixels by predicted class and by 2**17 bins of
    `uncertainty`."""
    return _histogram(batches, n_old, MEDIAN_BINS, uncertainty, reduce)


@torch.no_grad()
def pseudo_label(
    old_logits: Float[Tensor, "B C_old H W"], target: Integer[Tensor, "B H W"], n_old: int, thresholds: Thresholds
) -> PseudoLabels:
    """Let the teacher label the pixels with a target below ``n_old``, where it is confident (eq. 7).

    In training, each image's cross-entropy is multiplied by ``factor`` (eq. 8).

    Args:
        old_logits: the teacher's.
        target: channels, 255 where ignored.
        n_old: channels of the teacher.
        thresholds: one per channel seen.

    Raises:
        ValueError: where the logits do not have n_old channels, or have more than there are thresholds.
    """
    _check_channels(old_logits, n_old)
    _check_counts(n_old, len(thresholds.values))
    predicted = old_logits.argmax(dim=1)
    measured = thresholds.uncertainty(old_logits)
    confident = measured < thresholds.of(predicted)
    background = target < n_old
    ignored = ignored_id(len(thresholds.values))
    labelled = torch.where(background, torch.where(confident, predicted, ignored), target)
    n_confident, n_background = (mask.sum(dim=(1, 2)).float() for mask in (confident & background, background))
    return PseudoLabels(labelled, measured, confident, n_confident / (n_background + 1e-6))


def _probabilities(logits: Tensor) -> Tensor:
    if logits.shape[1] < 2:
        raise ValueError(f"uncertainty needs at least two channels, not {logits.shape[1]}")
    return at_least_float32(logits).softmax(dim=1)


def _check_channels(old_logits: Tensor, n_old: int) -> None:
    if old_logits.shape[1] != n_old:
        raise ValueError(f"the teacher's logits have {old_logits.shape[1]} channels, but n_old is {n_old}")


def _check_counts(n_old: int, n_seen: int) -> None:
    if n_seen < n_old:
        raise ValueError(f"n_seen is {n_seen}, less than n_old, {n_old}: the channels seen include the old ones")


@torch.no_grad()
def _histogram(
    batches: Batches, n_old: int, bins: int, measure: Callable[[Tensor], Tensor], reduce: Reduce | None
) -> Tensor:
    """Count background pixels (target 0) by predicted class and bin of the measure: (n_old, bins)."""
    counts: Tensor | None = None
    for old_logits, target in batches:
        _check_channels(old_logits, n_old)
        background = target == 0
        measured = measure(old_logits)[background]
        if not torch.isfinite(measured).all():
            raise ValueError("the teacher's logits hold NaN or infinity, so no threshold can be computed")
        cell = old_logits.argmax(dim=1)[background] * bins + (measured * bins).long().clamp(max=bins - 1)
        counted = torch.bincount(cell, minlength=n_old * bins)
        counts = counted if counts is None else counts.add_(counted)
    if counts is None:
        raise ValueError("thresholds need at least one batch of the teacher's logits and targets")
    counts = counts.view(n_old, bins)
    return counts if reduce is None else reduce(counts)


def _padded(values: Tensor, n_seen: int) -> Tensor:
    return torch.cat([values, values.new_zeros(n_seen - len(values))])
