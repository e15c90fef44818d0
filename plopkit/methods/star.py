"""STAR: replays features of old classes from their prototypes (Chen et al., NeurIPS 2023)."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from plopkit.binary import multiple_binary_cross_entropy
from plopkit.memory import recognised
from plopkit.methods.base import Batch, Method, State, StepContext, Term, Whole
from plopkit.methods.dkd import SURE, sure_classes
from plopkit.methods.sigmoid import FixedNorms, first_groups, fixed, group
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.sigmoid import SigmoidClassifier
from plopkit.replay import (
    Kept,
    Plan,
    Predicted,
    contrast,
    kept_of,
    new_class_loss,
    numbers_after,
    old_feature_loss,
    plan,
    predicted_numbers,
    replayed,
    sampled,
    teachers_classes,
)
from plopkit.scenario import Step
from plopkit.support.precision import at_least_float32

LATER_ONLY = ("pkd", "contrast", "positive", "new_lr", "spread", "decision", "factors")
"""Hyper-parameters without effect on what step 0 trains."""


class Prepared(NamedTuple):
    """What a step replays, and of what."""

    kept: Kept
    plan: Plan


class Replaying(FixedNorms):
    """What STAR does without and with a memory. Not a method itself: it has no name."""

    pkd: float = Field(5.0, ge=0, description="weight of the distance of features")
    contrast: float = Field(0.05, ge=0, description="weight of the contrast")
    positive_first: float = Field(2.0, gt=0, description="weight of a class's pixels in step 0 (ADE20K: 35)")
    positive: float = Field(4.0, gt=0, description="weight of a class's pixels in later steps (ADE20K: 30)")
    head_lr: float = Field(10.0, gt=0, description="rate of decoder and classifiers, relative to the encoder's")
    new_lr: float = Field(100.0, gt=0, description="that of the new classifier later")
    last: bool = Field(True, description="one more 3x3 convolution before the classifiers")
    spread: Literal["released", "own"] = Field(
        "released", description="spread of new classes: around an old class's prototype (released), or around their own"
    )
    decision: Literal["released", "half"] = Field(
        "released", description="a class for the teacher: a logit above 0.5 (released), or a probability above one half"
    )
    factors: Literal["released", "vector"] = Field(
        "released", description="norm of a replayed feature: drawn for each channel (released), or once"
    )

    def first_step(self) -> Method:
        """The same for all hyper-parameters of later steps."""
        return self.without(*LATER_ONLY)

    def build(self, encoder: Encoder, decoder: Decoder, n_seen: int) -> Segmenter:
        encoder, aspp = self.prepared_parts(encoder, decoder, self.last)
        return Segmenter.from_parts(encoder, aspp, SigmoidClassifier(aspp.width, (n_seen,)))

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        """New classifiers begin at random; norms and dropout are fixed.

        Raises:
            ValueError: for a net of another kind.
        """
        if _has_auxiliary(before.classifier) is not False:
            raise ValueError(
                f"STAR continues a net of binary decisions without an auxiliary classifier, not a {before.kind!r} with "
                f"a classifier {before.classifier.kind!r}"
            )
        return fixed(before.grown(len(step.new), balanced=False))

    def parameter_groups(self, net: Segmenter, step: Step) -> list[dict[str, Any]]:
        if not step.index:
            return first_groups(net, self.head_lr)
        *old, new = net.classifier
        return [group([net.encoder], 1.0), group([net.decoder, *old], self.head_lr), group([new], self.new_lr)]

    def prepare(self, context: StepContext) -> Prepared:
        """What to replay, from one pass of the teacher over the training images."""
        teacher, step = context.teacher, context.step
        assert teacher is not None
        kept = Kept(*(context.state[name] for name in Kept._fields))
        predicted = self._predicted(teacher, context)
        device = predicted.numbers.device
        kept = Kept(*(each.to(device) for each in kept))
        return Prepared(kept, plan(kept.numbers, predicted, step.n_new, _is_disjoint(step)))

    def losses(self, batch: Batch) -> Mapping[str, Term]:
        out, old, target, step = batch.out, batch.old, batch.target, batch.context.step
        positive = self.positive if step.index else self.positive_first
        original = multiple_binary_cross_entropy(out.logits, target, step.n_old, positive)
        if old is None:
            return {"mbce": original.mean()}
        assert out.head is not None and old.head is not None
        kept, planned = batch.prepared
        found = teachers_classes(old.logits, self._least)
        background = sampled((target == 0) & (found == 0), out.head.shape[2:])
        new: Any = batch.net.classifier[-1]
        features = replayed(kept, planned.classes, *self._drawn(kept, planned))
        mbce = new_class_loss(
            original.mean(),
            new.weight[..., 0, 0] @ features + new.bias[:, None],
            out.small[:, step.n_old :].movedim(1, 0).flatten(1),
            planned.background * background.flatten().float(),
        )
        distance = old_feature_loss(out.head, old.head, (target == 0) & (found > 0))
        value = contrast(out.head, target, step.n_old, kept.prototypes, step.n_seen)
        # The shares of replayed features and of the background, and the classes' centres, are those of whole batches.
        return {
            "mbce": Whole(mbce),
            "pkd": Whole(self.pkd * distance),
            "contrast": Whole(self.contrast * value),
        }

    @torch.no_grad()
    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        """Prototypes, spreads and numbers of the step's classes, from one pass over its training images, after those of
        old classes; a later step takes a second one, of the teacher."""
        step, training = context.step, net.training
        net.eval()
        old = Kept(*(context.state[name] for name in Kept._fields)) if step.index else None
        features = ((net.decode(net.encode(image)[1]), target) for image, target in context.batches())
        kept = kept_of(features, max(step.n_old, 1), step.n_seen, old, self.spread)
        net.train(training)
        if old is not None:
            assert context.before is not None
            predicted = self._predicted(context.teacher or context.before(), context)
            numbers = numbers_after(old.numbers, _on_cpu(predicted), kept.numbers, _is_disjoint(step))
            kept = kept._replace(numbers=numbers)
        return net, kept._asdict()

    @property
    def _least(self) -> float:
        """The logit that a class of the teacher's must exceed."""
        return 0.5 if self.decision == "released" else 0.0

    def _drawn(self, kept: Kept, planned: Plan) -> tuple[Tensor, Tensor]:
        """The random numbers of an iteration's replayed features: of their directions, and of their norms."""
        width, n = kept.prototypes.shape[1], len(planned.classes)
        device = kept.prototypes.device
        n_factors = width if self.factors == "released" else 1
        return torch.randn(width, n, device=device), torch.randn(n_factors, n, device=device)

    @torch.no_grad()
    def _predicted(self, teacher: Segmenter, context: StepContext) -> Predicted:
        """What the teacher predicts in the background of the training images."""
        return predicted_numbers(_answers(teacher, context), self._least)


class STAR(Replaying):
    """Binary decisions by class; replays features of old classes and background."""

    name = "star"
    title = "STAR"
    source = "Chen et al., NeurIPS 2023"


class STARM(Replaying):
    """STAR with a memory of images as well, which show the step's new classes only."""

    name = "star-m"
    title = "STAR-M"
    source = "Chen et al., NeurIPS 2023"
    allows_memory = True

    candidates: Literal["released", "repaired"] = Field(
        "released",  # one too low, and never the first
        description="classes that candidates show",
    )

    def first_step(self) -> Method:
        """STAR's, so that both share it."""
        return self.first_step_of(STAR)

    def candidate_target(self, out: Output, target: Int[Tensor, "B H W"], step: Step) -> Int[Tensor, "B H W"]:
        """The target, with the old classes that the net is sure of on its background."""
        if self.candidates == "repaired":
            return sure_classes(out, target)
        probabilities = at_least_float32(out.logits).sigmoid()
        probabilities[:, :2] = 0  # no class, and the first one
        found = recognised(probabilities, target, SURE)
        return torch.where(found == target, target, found - 1)


def _answers(teacher: Segmenter, context: StepContext) -> Iterator[tuple[Tensor, Tensor, torch.Size]]:
    """The teacher's logits, the channels, and the size of its maps."""
    for image, target in context.batches():
        out = teacher(image)
        yield out.logits, target, out.small.shape[2:]


def _on_cpu(predicted: Predicted) -> Predicted:
    return predicted._replace(numbers=predicted.numbers.cpu())


def _is_disjoint(step: Step) -> bool:
    """Whether the images of a step show no class of a later one."""
    return step.protocol == "disjoint"


def _has_auxiliary(classifier: Classifier) -> bool | None:
    """Whether a classifier of binary decisions has an auxiliary one; None for other classifiers."""
    return classifier.has_auxiliary if isinstance(classifier, SigmoidClassifier) else None
