"""STAR's replay: what is kept of each class's features, how often they are replayed, and the terms of its loss.

Features x are the decoder's maps, (B, D, h, w). A place is a pixel of such a map; its label is that of the pixel in
the middle of its share of the image. u = x / ‖x‖. Prototypes, spreads and numbers of classes are in the order learnt,
without the background.

Source: STAR (Chen et al., NeurIPS 2023).
"""

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from plopkit.support.precision import at_least_float32, doubled


class Kept(NamedTuple):
    """What is kept of N classes."""

    prototypes: Float[Tensor, "N D"]
    """the normalised sum of u"""
    norms: Float[Tensor, "2 N"]
    """mean and standard deviation of ‖x‖"""
    spread: Float[Tensor, "N D"]
    """√mean (u − P)² of each channel"""
    numbers: Float[Tensor, " N1"]
    """places of the background, then of each class"""


class Predicted(NamedTuple):
    """What a teacher predicts at the places of the background of one epoch."""

    numbers: Float[Tensor, " N1"]
    """places for which no class, then each class is predicted"""
    n_batches: int


class Plan(NamedTuple):
    """What a step replays."""

    classes: Int[Tensor, " K"]
    """number of the class of each feature that an iteration replays, class after class"""
    background: float
    """how much the places that are background for the teacher, too, count more than they are"""


def sampled(maps: Tensor, size: Sequence[int]) -> Tensor:
    """The value in the middle of each place's share of the image: (…, H, W) -> (…, h, w)."""
    for axis, n in zip((-2, -1), size, strict=True):
        positions = (2 * torch.arange(n, device=maps.device) + 1) * maps.shape[axis] // (2 * n)
        maps = maps.index_select(axis, positions)
    return maps


def kept_of(
    batches: Iterable[tuple[Float[Tensor, "B D h w"], Integer[Tensor, "B H W"]]],
    first: int,
    n_seen: int,
    before: Kept | None = None,
    spread: Literal["released", "own"] = "own",
) -> Kept:
    """What is kept of the classes ``first`` … ``n_seen − 1`` of a step, after those kept before.

    A class without a place has a number of 0, and zeros. The numbers are those of the step: of the background and of
    the new classes.

    Args:
        batches: features and channels.
        first: the first new channel; at step 0 that is 1.
        n_seen: number of channels.
        before: what is kept of the old classes; None at step 0.
        spread: "own" measures the spread of each class around its prototype, "released" that of the i-th new class
            around the prototype of the i-th class of all, as the released code does; at step 0 both are the same.

    Raises:
        ValueError: there is no batch.
    """
    n_new = n_seen - first
    totals: tuple[Tensor, ...] | None = None
    for features, labels in batches:
        x = doubled(at_least_float32(features).cpu())
        label = sampled(labels, x.shape[2:]).flatten().cpu()
        x = x.movedim(1, -1).flatten(0, 2)
        norm = x.norm(dim=1)
        u = x / norm.clamp(min=1e-12)[:, None]
        # Background first, then the new classes, each as a row that picks its places.
        own = torch.stack([label == 0, *(label == c for c in range(first, n_seen))]).to(x)
        found = own.sum(1), own @ u, own @ u**2, own @ torch.stack([norm, norm**2], 1)
        totals = found if totals is None else tuple(map(torch.add, totals, found))
    if totals is None:
        raise ValueError("there is no batch of features to keep anything of")
    places, sums, squares, lengths = totals
    count = places[1:].clamp(min=1)[:, None]
    prototypes = F.normalize(sums[1:], dim=1)
    everything = prototypes if before is None else torch.cat([before.prototypes.to(prototypes), prototypes])
    centre = everything[:n_new] if spread == "released" else prototypes
    mean, mean_square = sums[1:] / count, squares[1:] / count
    variance = (mean_square - 2 * centre * mean + centre**2).clamp(min=0)
    spreads = torch.where(places[1:, None] > 0, variance.sqrt(), 0.0)
    length = lengths[1:] / count
    deviation = ((length[:, 1] - length[:, 0] ** 2).clamp(min=0) * count[:, 0] / (count[:, 0] - 1).clamp(min=1)).sqrt()
    norms = torch.stack([length[:, 0], deviation])
    old = [] if before is None else [before]
    return Kept(
        everything.float(),
        torch.cat([*(kept.norms for kept in old), norms.float()], 1),
        torch.cat([*(kept.spread for kept in old), spreads.float()]),
        places.float(),
    )


def teachers_classes(old_logits: Float[Tensor, "B C H W"], least: float) -> Int[Tensor, "B H W"]:
    """The class with the largest logit where that exceeds ``least``, else 0; channel 0, the background, is left out."""
    logit, channel = old_logits[:, 1:].max(dim=1)
    return torch.where(logit > least, channel + 1, 0)


def predicted_numbers(
    batches: Iterable[tuple[Float[Tensor, "B C H W"], Integer[Tensor, "B H W"], Sequence[int]]], least: float
) -> Predicted:
    """What a teacher predicts at the places of the background.

    Args:
        batches: the teacher's logits, the channels, and height and width of the decoder's maps, of one epoch.
        least: as in `teachers_classes`.

    Raises:
        ValueError: there is no batch.
    """
    numbers, n_batches = None, 0
    for logits, labels, size in batches:
        found = sampled(teachers_classes(logits, least), size)[sampled(labels, size) == 0]
        counted = torch.bincount(found, minlength=logits.shape[1])
        numbers, n_batches = counted if numbers is None else numbers + counted, n_batches + 1
    if numbers is None:
        raise ValueError("there is no batch to count what the teacher predicts")
    return Predicted(numbers.float(), n_batches)


def plan(numbers: Float[Tensor, " N1"], predicted: Predicted, n_new: int, disjoint: bool) -> Plan:
    """Of which classes an iteration replays features, and how much background is missing.

    Args:
        numbers: places of the background, then of each old class, in the steps before.
        predicted: what the teacher predicts in the step's images.
        n_new: number of new classes.
        disjoint: whether the step's images show no class of a later step (the protocol disjoint). What the
            teacher finds on their background is then not subtracted from what is replayed.
    """
    own, found = numbers, predicted.numbers
    nothing = float(found[0].clamp(min=1))
    if disjoint:
        missing, background = own[1:], float(own[0]) / nothing
    else:
        missing, background = own[1:] - found[1:], max(0.0, float(own[0]) * (1 - 0.01 * n_new) / nothing - 0.5)
    counts = (missing / predicted.n_batches).floor().clamp(min=0).long()
    return Plan(torch.repeat_interleave(counts), background)


def numbers_after(
    numbers: Float[Tensor, " N1"], predicted: Predicted, new: Float[Tensor, " n1"], disjoint: bool
) -> Float[Tensor, " M1"]:
    """The numbers that a step leaves, of the background and of all classes.

    Args:
        numbers, predicted, disjoint: as for `plan`.
        new: places of the background and of each new class.
    """
    n_new, found = len(new) - 1, predicted.numbers
    if disjoint:
        return torch.cat([numbers + found, new[1:]])
    background = 0.5 * found[:1] + numbers[:1] * (1 - 0.01 * n_new)
    return torch.cat([background, numbers[1:], new[1:]])


def replayed(
    kept: Kept, classes: Int[Tensor, " K"], noise: Float[Tensor, "D K"], factors: Float[Tensor, "F K"]
) -> Float[Tensor, "D K"]:
    """Features of old classes, (P + noise ⊙ spread) (mean + factors · deviation of ‖x‖).

    Args:
        kept: what is kept of each class.
        classes: number of each feature's class, among those kept.
        noise: standard normal numbers.
        factors: the same, D of them for each feature as in the released code, or one.
    """
    directions = kept.prototypes[classes].T + noise * kept.spread[classes].T
    return directions * (kept.norms[0, classes] + factors * kept.norms[1, classes])


def new_class_loss(
    original: Float[Tensor, ""],
    replayed_logits: Float[Tensor, "n K"],
    small: Float[Tensor, "n P"],
    more: Float[Tensor, " P"],
) -> Float[Tensor, ""]:
    """The binary losses of the new classes on the images, on replayed features, and on more background.

    Σ (m + u f + v b) / (1 + u + v) over the classes, where f is the mean of bce(x, 0) over replayed features and b
    that over the places, weighted by ``more``; u is their number K, and v the sum of ``more``, per place of the batch.

    Args:
        original: Σ m, the sum over the classes of the means over all pixels.
        replayed_logits: of replayed features.
        small: logits of the batch's places.
        more: how much each place counts as background, beyond what it is in the images: `Plan.background` where it is
            background for the teacher as well, else 0.
    """
    no = F.softplus(at_least_float32(replayed_logits)).sum() + (F.softplus(at_least_float32(small)) * more).sum()
    n_places, n_replayed = small.shape[1], replayed_logits.shape[1]
    return (original + no / n_places) / (1 + (n_replayed + more.sum()) / n_places)


def old_feature_loss(
    head: Float[Tensor, "B D h w"], old_head: Float[Tensor, "B D h w"], region: Bool[Tensor, "B H W"]
) -> Float[Tensor, ""]:
    """Σ w ‖x − x_old‖² / (D Σ w), where w is the region, downsampled; 0 where it is empty (released: NaN).

    Args:
        head: the net's features.
        old_head: the teacher's.
        region: background in which the teacher predicts a class.
    """
    weight = downsampled(region[:, None].float(), head.shape[2:])
    squares = (at_least_float32(head) - at_least_float32(old_head)) ** 2
    total = weight.sum()
    return (weight * squares).sum() / (head.shape[1] * torch.where(total > 0, total, 1.0))


def contrast(
    head: Float[Tensor, "B D h w"],
    target: Integer[Tensor, "B H W"],
    n_old: int,
    prototypes: Float[Tensor, "N D"],
    n_seen: int,
) -> Float[Tensor, ""]:
    """The mean over new classes of 1 / min ‖centre − P‖ over the old classes that have a prototype; 0 without one.

    The centre is the normalised Σ w u over the batch, with the class's pixels downsampled as w. A class that is not in
    the batch has the centre 0 and gives 1.

    Args:
        head: the net's features.
        target: channels.
        n_old: number of old channels, the background among them.
        prototypes: of the old classes.
        n_seen: number of channels.
    """
    u = F.normalize(at_least_float32(head), dim=1)
    own = torch.stack([target == channel for channel in range(n_old, n_seen)], 1).float()
    centres = F.normalize(torch.einsum("bnhw,bdhw->nd", downsampled(own, head.shape[2:]), u), dim=1)
    distance = torch.cdist(centres, prototypes, compute_mode="donot_use_mm_for_euclid_dist")
    return (1 / distance.masked_fill(~prototypes.any(1), torch.inf).amin(1)).mean()


def downsampled(maps: Float[Tensor, "B C H W"], size: Sequence[int]) -> Float[Tensor, "B C h w"]:
    """Bilinear, as the released code does it, from the pixels around the middle of each place's share alone."""
    return F.interpolate(maps, tuple(size), mode="bilinear", align_corners=False)
