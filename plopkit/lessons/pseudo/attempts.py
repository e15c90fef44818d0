"""The functions to write in lesson 04: the entropy, and the rule that turns it into pseudo-labels."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plopkit.entropy import uncertainty
from plopkit.lessons.attempts import Attempt, Inputs
from plopkit.pseudo import MedianThresholds, pseudo_label
from plopkit.scenario import IGNORE

Logits = Float[Tensor, "B C H W"]
Pixels = Int[Tensor, "B H W"]


def logits() -> list[Inputs]:
    """Moderate logits, then some so extreme that a softmax is exactly 0."""
    random = torch.Generator().manual_seed(4)
    sizes = ((2, 3, 4, 5, 2.0), (1, 16, 3, 3, 3.0), (1, 4, 2, 6, 300.0))
    return [(scale * torch.randn(*shape, generator=random),) for *shape, scale in sizes]


def over(dim: int) -> Callable[[Tensor], Tensor]:
    """An entropy whose softmax is over another axis."""

    def entropy(x: Logits) -> Tensor:
        return -(x.softmax(dim) * x.log_softmax(dim)).sum(1) / math.log(x.shape[1])

    return entropy


def plain_logarithm(x: Logits) -> Tensor:
    """Multiplies 0 by the logarithm of 0."""
    p = x.softmax(1)
    return -(p * p.log()).sum(1) / math.log(x.shape[1])


def teacher_and_target() -> list[Inputs]:
    """A teacher's uncertainty and prediction, a step's targets (some ignored) and thresholds of seen channels."""
    cases: list[Inputs] = []
    for seed, (n_old, n_seen, shape) in enumerate(((3, 5, (2, 6, 7)), (16, 21, (1, 12, 12)))):
        random = torch.Generator().manual_seed(40 + seed)
        u = torch.rand(shape, generator=random)
        predicted = torch.randint(n_old, shape, generator=random)
        new = torch.randint(n_old, n_seen, shape, generator=random)
        kind = torch.rand(shape, generator=random)
        target = torch.where(kind < 0.6, 0, torch.where(kind < 0.9, new, IGNORE))
        thresholds = torch.rand(n_seen, generator=random) * 0.7 + 0.15
        u[0, 0, :3] = thresholds[predicted[0, 0, :3]]  # exactly at the threshold: not below it
        target[0, 0, :3] = 0
        cases.append((u, predicted, target, thresholds))
    return cases


def library_rule(u: Tensor, predicted: Pixels, target: Pixels, thresholds: Tensor) -> Tensor:
    """The library's target, for logits of which it sees only what they predict and how uncertain they are."""

    class Given(MedianThresholds):
        def uncertainty(self, old_logits: Tensor) -> Tensor:
            return u

    n_old = int(target[target > 0].min())
    one_hot = torch.nn.functional.one_hot(predicted, n_old).movedim(3, 1).float()
    return pseudo_label(one_hot, target, n_old, Given(thresholds)).target


Rule = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def rule(
    confident: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda u, predicted, t: u < t[predicted],
    background: Callable[[Tensor], Tensor] = lambda target: target == 0,
    unsure: Callable[[Tensor, Tensor], Tensor | int] = lambda predicted, target: IGNORE,
) -> Rule:
    """A rule that differs in what is confident, in what may be labelled, or in what the unsure pixels become."""

    def labelled(u: Tensor, predicted: Pixels, target: Pixels, thresholds: Tensor) -> Tensor:
        sure = confident(u, predicted, thresholds)
        return torch.where(background(target), torch.where(sure, predicted, unsure(predicted, target)), target)

    return labelled


def unsure_everywhere(u: Tensor, predicted: Pixels, target: Pixels, thresholds: Tensor) -> Tensor:
    """Ignores every pixel that the teacher is unsure of, labelled or not."""
    return torch.where(u < thresholds[predicted], rule()(u, predicted, target, thresholds), IGNORE)


ATTEMPTS: dict[str, Attempt] = {
    "04.entropy": Attempt(
        uncertainty,
        logits,
        {
            "a sign: ln p is negative, so the sum needs a minus.": lambda x: -uncertainty(x),
            "a division is missing: divide by ln C, so that equal probabilities give 1.": lambda x: (
                uncertainty(x) * math.log(x.shape[1])
            ),
            "divide by ln C, not by C.": lambda x: uncertainty(x) * math.log(x.shape[1]) / x.shape[1],
            "the sum over the channels became a mean, which divides by C once more.": lambda x: (
                uncertainty(x) / x.shape[1]
            ),
            "base 2 above and ln below: use the same logarithm for both.": lambda x: uncertainty(x) / math.log(2),
            "wrong axis: the probabilities of a pixel are over the channels, axis 1; this is a softmax over axis 0.": (
                over(0)
            ),
            "wrong axis: the probabilities of a pixel are over the channels, axis 1; this is a softmax over axis 2.": (
                over(2)
            ),
            "wrong axis: the probabilities of a pixel are over the channels, axis 1; this softmax is over the last.": (
                over(3)
            ),
            "these are logits, not ln p: take log_softmax of them.": lambda x: (
                -(x.softmax(1) * x).sum(1) / math.log(x.shape[1])
            ),
            "the channels' axis is still there, with length 1: sum without keepdim.": lambda x: uncertainty(x)[:, None],
            "this is the sum over all pixels; there is one value for each pixel: sum over axis 1 only.": (
                lambda x: uncertainty(x).sum()
            ),
            "where p is 0, p ln p is 0, but 0 times -inf is nan: take ln p from log_softmax.": plain_logarithm,
            "this is 1 - max p, another measure; here the entropy is wanted.": lambda x: 1 - x.softmax(1).amax(1),
        },
        "try a pixel with two equal logits by hand: its uncertainty is 1.",
        """\
import math


def entropy(logits):
    p, log_p = logits.softmax(1), logits.log_softmax(1)
    return -(p * log_p).sum(1) / math.log(logits.shape[1])
""",
    ),
    "04.rule": Attempt(
        library_rule,
        teacher_and_target,
        {
            "the comparison is the wrong way round: confident means uncertainty below the threshold.": rule(
                lambda u, predicted, t: u > t[predicted]
            ),
            "at exactly the threshold a pixel is not confident: `<`, not `<=`.": rule(
                lambda u, predicted, t: u <= t[predicted]
            ),
            "this takes the background's threshold for all pixels; each predicted class has its own.": rule(
                lambda u, predicted, t: u < t[0]
            ),
            "this takes the mean of the thresholds; each predicted class has its own.": rule(
                lambda u, predicted, t: u < t.mean()
            ),
            "no threshold: this trusts the teacher everywhere.": rule(lambda u, predicted, t: u < 2),
            "unsure background stays background here; it has to be ignored (255).": rule(
                unsure=lambda predicted, target: target
            ),
            "new classes are overwritten: only pixels whose target is background get a pseudo-label.": rule(
                background=lambda target: target != IGNORE
            ),
            "unsure pixels of a new class become 255 here; their label stays, only unsure background is ignored.": (
                unsure_everywhere
            ),
            "pixels that are ignored (255) stay ignored: they are not background.": rule(
                background=lambda target: (target == 0) | (target == IGNORE)
            ),
            "every pixel is relabelled: only those whose target is background may be.": rule(
                background=lambda target: target >= 0
            ),
            "this is no target yet but the mask of confident pixels.": lambda u, predicted, target, t: u < t[predicted],
            "the teacher's background is a class as well: where it is confident of 0, the target is 0.": rule(
                lambda u, predicted, t: (u < t[predicted]) & (predicted > 0)
            ),
        },
        "there are three cases: a new class or 255, confident background, and background that is not confident.",
        """\
import torch


def pseudo_target(u, predicted, target, thresholds):
    confident = u < thresholds[predicted]
    return torch.where(target == 0, torch.where(confident, predicted, 255), target)
""",
        errors={
            "255 is out of bounds": "255 marks ignored pixels and is no channel: the threshold is that of the class "
            "that the teacher predicts, thresholds[predicted]."
        },
    ),
}
