"""Which images of earlier steps are kept: rules of choice within a budget, and what images are taken to show.

A choice is made at the end of each step, among the images kept so far and those of the step. All rules are pure
functions of what the candidates show, how large they are, and a seed.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, Integer
from torch import Tensor

from plopkit.ids import ignored_id


class Budget(NamedTuple):
    """How much is kept; None for no limit."""

    images: int | None = None
    size: int | None = None
    """bytes of all images and masks"""

    def allows(self, n_images: int, size: int) -> bool:
        """Whether as many images of this size together may be kept."""
        return (self.images is None or n_images <= self.images) and (self.size is None or size <= self.size)


def balanced_choice(
    shows: Bool[np.ndarray, "N classes"],
    sizes: Int[np.ndarray, "N"],
    budget: Budget,
    shuffle: Callable[[list[int]], object],
) -> list[int]:
    """One image for each class in turn, until the budget is used up: the rule of SSUL-M, DKD-M and STAR-M.

    The candidates are shuffled, then the classes. In this order, again and again, each class takes the first candidate
    that shows it, is not taken and fits. A class without one is passed over; the released codes loop for ever where
    candidates run out.

    Args:
        shows: Which classes each candidate shows; a column for each, the background not among them.
        sizes: Bytes of each candidate.
        budget: How much is kept.
        shuffle: Shuffles a list in place, as that of `numpy.random.RandomState`, which the released codes use.

    Returns:
        Positions of the images taken, in the order in which they were taken.

    Source: Cha et al., NeurIPS 2021 (SSUL-M).

    Example:
        >>> shows = np.array([[True, False], [True, False], [False, True]])
        >>> sorted(balanced_choice(shows, np.array([1, 1, 1]), Budget(images=2), np.random.RandomState(1).shuffle))
        [0, 2]
    """
    order, classes = list(range(len(shows))), list(range(shows.shape[1]))
    shuffle(order)
    shuffle(classes)
    taken: dict[int, None] = {}
    size, waiting = 0, classes
    while waiting:
        able = []
        for label in waiting:
            for index in order:
                fits = budget.allows(len(taken) + 1, size + int(sizes[index]))
                if shows[index, label] and index not in taken and fits:
                    taken[index] = None
                    size += int(sizes[index])
                    able.append(label)
                    break
        waiting = able  # a class that finds nothing now finds nothing later: less is left, and less room
    return list(taken)


def random_choice(names: Sequence[str], sizes: Int[np.ndarray, "N"], budget: Budget, seed: int) -> list[int]:
    """Images at random among all that there have been, whichever step they come from.

    Each name has a random number, drawn from the seed and the name alone, and the images with the smallest numbers are
    kept, as far as they fit. With a number of images as budget, each image is as likely as any other, and a choice
    among the images kept so far and those of a step is the choice among the images of all steps, as in reservoir
    sampling. Where a size in bytes is the limit, an image that does not fit is passed over for smaller ones behind it:
    small images are kept more often, and of images that were once passed over none comes back.

    Args:
        names: The name of each candidate, no two alike.
        sizes: Bytes of each candidate.
        budget: How much is kept.
        seed: The same at every step.

    Returns:
        Positions of the images taken, in the order of their random numbers.

    Example:
        >>> random_choice(["a", "b", "c"], np.array([1, 1, 1]), Budget(images=2), seed=0)
        [2, 0]
    """
    keys = [hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=16).digest() for name in names]
    taken: list[int] = []
    size = 0
    for index in sorted(range(len(keys)), key=keys.__getitem__):
        if budget.allows(len(taken) + 1, size + int(sizes[index])):
            taken.append(index)
            size += int(sizes[index])
    return taken


def recognised(
    scores: Float[Tensor, "B C H W"], target: Integer[Tensor, "B H W"], threshold: float
) -> Int[Tensor, "B H W"]:
    """The target of an image that may be kept, with the classes that a net recognises on its background.

    Args:
        scores: Probability of each channel; channel 0 is everything but a class: the larger one of "unknown" and
            background in SSUL-M, 0 in DKD-M.
        target: Channels, 0 where nothing is labelled, 255 where ignored.
        threshold: Least score of a recognised class: 0.7 in SSUL-M, 0.9 in DKD-M.

    Source: Cha et al., NeurIPS 2021; Baek et al., NeurIPS 2022.
    """
    best, channel = scores.max(dim=1)
    return torch.where((target == 0) & (channel > 0) & (best >= threshold), channel, target.long())


def shown_labels(target: Integer[Tensor, "B H W"], n_channels: int) -> Bool[Tensor, "B n_channels"]:
    """Which channels occur in each image's target; ignored pixels do not count."""
    there = torch.zeros(len(target), ignored_id(n_channels) + 1, dtype=torch.bool, device=target.device)
    there.scatter_(1, target.flatten(1).long(), value=True)
    return there[:, :n_channels]


def one_class_off(lookup: Integer[np.ndarray, "ids"], unknown: int) -> Integer[np.ndarray, "ids"]:
    """The targets of memory images as SSUL-M's released code has them, from the right ones.

    Its channels are unknown, background, class 1, ...: labels of training images are raised by one, those of memory
    images are not. So the background asks for "unknown", class 1 for the background, and class c for class c - 1.

    Args:
        lookup: The target of each label, as `Step.lookup` gives it; its last entry is the target of ignored pixels.
        unknown: The target that means "unknown".

    Returns:
        A table of the same shape and type.

    Source: clovaai/SSUL, commit e08ee9c.
    """
    targets = lookup.astype(np.int64)
    shifted = np.where(targets == 0, unknown, targets - 1)
    return np.where(targets == targets[-1], targets, shifted).astype(lookup.dtype)
