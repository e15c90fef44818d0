"""Uncertainty-aware contrast between the pixels of a batch (UCD, Yang et al., TPAMI 2022).

Anchors are the places of the small map with a label of a class: their own label where the step's labels have one, else
the class that the teacher predicts. Their contrasts are the anchors again, and what the teacher's features are at the
anchors without an own label. Labels are channels, 255 where ignored, and the teacher has the first ``n_old``.
"""

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Int8, Integer
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from plopkit.scenario import ignored_id
from plopkit.support.precision import at_least_float32

LARGEST_RELEASED = 20
"""The released code takes no label beyond this one, the last of VOC."""
CHUNK = 2**22
"""How many pairs are compared at once: 16 MB of float32 in each of about ten matrices."""

LabelsBy = Literal["released", "nearest"]
NegativesBy = Literal["released", "shifted"]


class Pairs(NamedTuple):
    """Anchors, what they are compared with, and what decides about each pair."""

    anchors: Float[Tensor, "A D"]
    """unit features of the net"""
    contrasts: Float[Tensor, "K D"]
    """unit features, without gradient: first the anchors', then the teacher's"""
    anchor_labels: Int[Tensor, "A"]
    contrast_labels: Int[Tensor, "K"]
    anchor_probabilities: Float[Tensor, "A n_old"]
    """the teacher's softmax at each anchor"""
    contrast_probabilities: Float[Tensor, "K n_old"]
    first_new: Int[Tensor, ""]
    """the smallest label that is taken for new"""


def attended(features: Float[Tensor, "B D h w"]) -> Float[Tensor, "B D h w"]:
    """x · a with a = Σ_d x_d², divided by its L2 norm over the image; a has no gradient.

    Features are divided by their length afterwards, which undoes this, in the released code too.
    """
    energy = features.detach().square().sum(dim=1)
    return features * F.normalize(energy.flatten(1), dim=1).view_as(energy)[:, None]


def released_labels(labels: Integer[Tensor, "B H W"], size: tuple[int, int]) -> Int8[Tensor, "B h w"]:
    """Labels at a smaller size as in the released code: interpolated bilinearly as numbers, then cut to 8 bits.

    The border of labels 0 and 16 can become 4, 8 or 12, that is an old class; 255 becomes -1.
    """
    small = F.interpolate(labels[:, None].float(), size, mode="bilinear", align_corners=False)[:, 0]
    return small.to(torch.int32).to(torch.int8)  # through integers, which wrap around on every device


def check_released_labels(n_seen: int) -> None:
    """ValueError where released labels would end before the last of ``n_seen`` channels."""
    if n_seen > LARGEST_RELEASED + 1:
        raise ValueError(
            f"released labels end at {LARGEST_RELEASED}, and the net has {n_seen} channels; choose labels nearest"
        )


def nearest_labels(labels: Integer[Tensor, "B H W"], size: tuple[int, int]) -> Int[Tensor, "B h w"]:
    """Labels at a smaller size, each that of one pixel: place i takes row ⌊i H / h⌋."""
    rows, columns = (
        torch.arange(n, device=labels.device) * to // n for n, to in zip(size, labels.shape[1:], strict=True)
    )
    return labels[:, rows[:, None], columns].long()


def contrast_pairs(
    features: Float[Tensor, "B D h w"],
    old_features: Float[Tensor, "B D h w"],
    old_small: Float[Tensor, "B n_old h w"],
    labels: Integer[Tensor, "B H W"],
    n_seen: int,
    labels_by: LabelsBy = "released",
) -> Pairs:
    """The anchors of a batch and their contrasts; without a pixel of a new class there are none.

    On a GPU the host waits for their number.

    Args:
        features: the net's, before the classifier.
        old_features: the teacher's.
        old_small: the teacher's logits at the features' size.
        labels: of the step, at the size of the images.
        n_seen: channels of the net.
        labels_by: "released": by `released_labels`, and new is every label from the smallest in the batch on.
            "nearest": by `nearest_labels`, and new is what the teacher has no channel for.

    Raises:
        ValueError: for released labels where there are more than 21 channels: the later ones would never count.
    """
    size, n_old = (features.shape[2], features.shape[3]), old_small.shape[1]
    if labels_by == "released":
        check_released_labels(n_seen)
        small = released_labels(labels, size).long()
        own = (small > 0) & (small <= LARGEST_RELEASED)
        first_new = torch.where(own, small, LARGEST_RELEASED).amin()
        any_new = own.any()
    else:
        small = nearest_labels(labels, size)
        own = (small > 0) & (small != ignored_id(n_seen))
        first_new = torch.tensor(n_old, device=small.device)
        any_new = (own & (small >= n_old)).any()
    predicted = old_small.argmax(dim=1)
    classes = torch.where(own, small, predicted)
    anchor = (classes > 0) & any_new
    copied = anchor & ~own
    unit, old_unit = (_unit(x) for x in (features, old_features))
    probabilities = at_least_float32(old_small).softmax(dim=1).movedim(1, 3)

    def with_teachers(own_values: Tensor, teachers: Tensor) -> Tensor:
        return torch.cat([own_values[anchor].detach(), teachers[copied].detach()])

    return Pairs(
        unit[anchor],
        with_teachers(unit, old_unit),
        classes[anchor],
        with_teachers(classes, classes),
        probabilities[anchor].detach(),
        with_teachers(probabilities, probabilities),
        first_new,
    )


def _unit(features: Float[Tensor, "B D h w"]) -> Float[Tensor, "B h w D"]:
    return F.normalize(attended(at_least_float32(features)), dim=1).movedim(1, 3)


def joint_probability(pairs: Pairs) -> Float[Tensor, "A K"]:
    """P_ij = Σ_c q_c(i) q_c(j), the teacher's probability that both are of one class; 1 where both labels are new."""
    return _joint(pairs, slice(None))


def _joint(pairs: Pairs, rows: slice) -> Tensor:
    new, other_new = (labels >= pairs.first_new for labels in (pairs.anchor_labels[rows], pairs.contrast_labels))
    probability = pairs.anchor_probabilities[rows] @ pairs.contrast_probabilities.T
    return torch.where(new[:, None] & other_new, 1.0, probability)


def contrast_loss(
    pairs: Pairs, temperature: float = 0.07, negatives: NegativesBy = "released", uncertainty: bool = True
) -> Float[Tensor, ""]:
    """The mean over anchors of − (1/n) Σ_j P_ij [s_ij − M_i − ln(exp(s_ij − M_i) + N_i)] over its n positives j.

    s is the product of two features divided by the temperature, M_i its largest value for an anchor, and the positives
    are the contrasts with the anchor's label, except itself. N_i is the sum over all other labels of exp(s_ij) as
    released, which magnifies it by exp(M_i) against the rest, or of exp(s_ij − M_i). An anchor without a positive does
    not count; without any the result is 0. Only the anchors have a gradient.

    Matrices of A × K are computed some rows at a time, and again for the gradient, so that none is kept.

    Args:
        pairs: from `contrast_pairs`.
        temperature: of the similarities.
        negatives: "released" or "shifted".
        uncertainty: whether P weights the positives; otherwise each has weight 1.
    """
    if not len(pairs.anchors):
        return pairs.anchors.sum()
    rows = max(1, CHUNK // len(pairs.contrasts))
    total = count = pairs.anchors.new_zeros(())
    for start in range(0, len(pairs.anchors), rows):
        chunk = slice(start, start + rows)
        found = checkpoint(
            _of_anchors,
            pairs.anchors[chunk],
            pairs,
            chunk,
            temperature,
            negatives == "shifted",
            uncertainty,
            use_reentrant=False,
            preserve_rng_state=False,
        )
        total, count = total + found[0], count + found[1]
    return total / count.clamp(min=1)


def _of_anchors(
    anchors: Tensor, pairs: Pairs, rows: slice, temperature: float, shifted: bool, uncertainty: bool
) -> tuple[Tensor, Tensor]:
    """The sum over some anchors, and the number of those with a positive."""
    similar = anchors @ pairs.contrasts.T / temperature
    same = pairs.anchor_labels[rows, None] == pairs.contrast_labels
    positive = _without_itself(same, rows.start)
    largest = similar.detach().amax(dim=1, keepdim=True)
    logits = similar - largest
    others = (logits if shifted else similar).masked_fill(same, torch.finfo(similar.dtype).min)
    terms = torch.logaddexp(logits, others.logsumexp(dim=1, keepdim=True)) - logits
    if uncertainty:
        terms = terms * _joint(pairs, rows)
    number = positive.sum(dim=1)
    means = torch.where(positive, terms, 0.0).sum(dim=1) / number.clamp(min=1)
    return means.sum(), (number > 0).sum()


def _without_itself(same: Bool[Tensor, "n K"], start: int) -> Bool[Tensor, "n K"]:
    """The pairs except those of an anchor and its own copy, which has the anchor's number."""
    positive = same.clone()
    positive.diagonal(start).fill_(False)
    return positive
