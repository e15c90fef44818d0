"""Prototypes of classes, and the distillation that they weight (REMINDER, Phan et al., CVPR 2022).

A batch's prototype of a class is the mean of the features of its pixels, the features upsampled bilinearly to the size
of the labels with corners aligned. Labels are channels, 255 where ignored, and the teacher has the first ``n_old``.
"""

from collections.abc import Iterable
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float, Integer
from torch import Tensor

from plopkit.scenario import ignored_id
from plopkit.support.chunks import by_chunks
from plopkit.support.precision import at_least_float32


def batch_prototypes(
    features: Float[Tensor, "B D h w"], labels: Integer[Tensor, "B H W"], n_old: int, n_seen: int
) -> Float[Tensor, "n_seen D"]:
    """The mean feature of every class from ``n_old`` on in one batch; 0 for earlier classes, and without a pixel."""
    sums, counts = class_sums(features, labels, n_old, n_seen)
    return sums / counts.clamp(min=1)[:, None]


def class_sums(
    features: Float[Tensor, "B D h w"], labels: Integer[Tensor, "B H W"], n_old: int, n_seen: int
) -> tuple[Float[Tensor, "n_seen D"], Float[Tensor, "n_seen"]]:
    """The sum of the features of every class from ``n_old`` on over its pixels, and their number; 0 for earlier ones.

    The features are not upsampled, which would take (H/h)² times their memory: upsampling is linear, so that the sum
    over a class's pixels is that of the small map, weighted by the transposed upsampling of the class's mask.
    """
    features = at_least_float32(features)
    size, small = labels.shape[1:], features.shape[2:]
    with torch.autocast(features.device.type, enabled=False):  # which would multiply in half precision
        rows, columns = (_weights(features, n, to) for n, to in zip(small, size, strict=True))
        sums, counts = features.new_zeros(n_seen, features.shape[1]), features.new_zeros(n_seen)
        for label in range(n_old, n_seen):
            mask = (labels == label).to(features.dtype)
            weights = rows @ mask @ columns.T  # (B, h, w)
            sums[label], counts[label] = torch.einsum("bdhw,bhw->d", features, weights), mask.sum()
    return sums, counts


def _weights(like: Tensor, small: int, size: int) -> Float[Tensor, "small size"]:
    """Along an axis, the weight of each small place in each upsampled one; in a tensor's type, on its device."""
    unit = torch.eye(small, dtype=like.dtype, device=like.device)
    return F.interpolate(unit[None], size, mode="linear", align_corners=True)[0]


def prototype_sums(
    batches: Iterable[tuple[Tensor, Tensor]], n_old: int, n_seen: int
) -> tuple[Float[Tensor, "n_seen D"], Float[Tensor, "n_seen"]]:
    """The sum of `batch_prototypes` over batches, and the number of batches in which each label occurs.

    Args:
        batches: features (B, D, h, w) and labels (B, H, W) of each batch.
        n_old: channels of the teacher; 0 at step 0, where the background counts as a class.
        n_seen: channels of the net.

    Raises:
        ValueError: without a batch.
    """
    sums = counts = None
    for features, labels in batches:
        means = batch_prototypes(features, labels, n_old, n_seen)
        occurs = means.new_zeros(n_seen + 1).scatter_(0, labels.long().clamp(max=n_seen).flatten(), 1.0)[:n_seen]
        sums = means if sums is None else sums + means
        counts = occurs if counts is None else counts + occurs
    if sums is None or counts is None:
        raise ValueError("prototypes are means over batches, and there is none")
    return sums, counts


def prototypes(
    batches: Iterable[tuple[Tensor, Tensor]], n_old: int, n_seen: int
) -> tuple[Float[Tensor, "n_seen D"], Float[Tensor, "n_seen"]]:
    """The mean of each class's batch prototypes over the batches in which it occurs, and their number.

    Every batch counts the same, however many pixels of the class it has. A prototype is 0 for classes before
    ``n_old``, and for one that occurs nowhere. Arguments and errors as for `prototype_sums`.
    """
    sums, counts = prototype_sums(batches, n_old, n_seen)
    return sums / counts.clamp(min=1)[:, None], counts


def similarity(means: Float[Tensor, "n D"], known: Float[Tensor, "n_old D"]) -> Float[Tensor, "n n_old"]:
    """The cosine of each mean and each known prototype; 0 where either is 0."""
    return F.cosine_similarity(means[:, None], known[None], dim=2)


def similarity_weights(similarities: Float[Tensor, "n n_old"], delta: float = 0.0) -> Float[Tensor, "n n_old"]:
    """r = softmax over the old classes of their cosines; 0 where r < δ / n_old, without normalising again.

    Args:
        similarities: as `similarity` gives them.
        delta: δ; 0 keeps all, 1 the classes that are at least as similar as the average.
    """
    weights = similarities.softmax(dim=1)
    return torch.where(weights < delta / weights.shape[1], 0.0, weights)


def weighted_distillation(
    logits: Float[Tensor, "B C H W"],
    old_logits: Float[Tensor, "B n_old H W"],
    labels: Integer[Tensor, "B H W"],
    weights: Float[Tensor, "n n_old"],
    temperature: float = 3.0,
) -> Float[Tensor, "B H W"]:
    """Class-similarity-weighted distillation of the pixels of new classes; 0 at all others.

    − T² Σ_{c < n_old} (q_c r_yc + 1e-7) ln p_c, where q is the softmax of the teacher's logits / T, p that of the net's
    old channels / T, and r the weights of the pixel's class y.

    Args:
        logits: of the net.
        old_logits: of the teacher.
        labels: channels; a class is new from ``n_old`` on.
        weights: r, a row for each new class.
        temperature: T.
    """
    return by_chunks(partial(_weighted, weights=weights, temperature=temperature), logits, old_logits, labels)


def _weighted(logits: Tensor, old_logits: Tensor, labels: Tensor, weights: Tensor, temperature: float) -> Tensor:
    n_old = old_logits.shape[1]
    new = is_new(labels, n_old, logits.shape[1])
    r = weights[torch.where(new, labels.long() - n_old, 0)].movedim(3, 1)
    q = (at_least_float32(old_logits) / temperature).softmax(dim=1)
    p = (at_least_float32(logits[:, :n_old]) / temperature).log_softmax(dim=1)
    return torch.where(new, -(temperature**2) * ((q * r + 1e-7) * p).sum(dim=1), 0.0)


def is_new(labels: Integer[Tensor, "B H W"], n_old: int, n_seen: int) -> Tensor:
    """Where a label is that of a new class."""
    return (labels >= n_old) & (labels != ignored_id(n_seen))


def class_similarity_distillation(
    features: Float[Tensor, "B D h w"],
    logits: Float[Tensor, "B C H W"],
    old_logits: Float[Tensor, "B n_old H W"],
    labels: Integer[Tensor, "B H W"],
    known: Float[Tensor, "n_old D"],
    delta: float = 0.0,
    temperature: float = 3.0,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The term of REMINDER: the sum of `weighted_distillation`, and the number of pixels of new classes.

    The new classes' means are those of this batch, and have no gradient; without a pixel of them both results are 0.

    Args:
        features: the net's, before the classifier.
        logits: of the net.
        old_logits: of the teacher.
        labels: channels, without pseudo-labels or with: only new classes matter.
        known: prototypes of the old classes, from the steps before.
        delta: δ of `similarity_weights`.
        temperature: T of `weighted_distillation`.
    """
    n_old, n_seen = old_logits.shape[1], logits.shape[1]
    means = batch_prototypes(features.detach(), labels, n_old, n_seen)[n_old:]
    weights = similarity_weights(similarity(means, known.to(means)), delta)
    values = weighted_distillation(logits, old_logits, labels, weights, temperature)
    return values.sum(), is_new(labels, n_old, n_seen).sum().to(values.dtype)
