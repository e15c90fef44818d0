"""Nearest prototype: each pixel gets the class whose mean feature is nearest, in the features of a frozen encoder."""

from typing import Literal

import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor

from plopkit.losses import cross_entropy
from plopkit.methods.base import Batch, Method, Schedule, State, StepContext
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import Decoder
from plopkit.model.decoders import Features
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.prototypes import class_sums
from plopkit.scenario import Step
from plopkit.settings import Optim
from plopkit.support.bars import notice
from plopkit.support.precision import doubled

NEVER = -1e6
"""Logit of a class without a prototype, times the temperature."""


class NearestPrototype(Method):
    """Trains nothing: a pixel gets the class with the nearest mean feature, of an encoder as its weights are.

    The decoder is left out. A step looks once at its training images, and adds the features of its labelled pixels to
    the sums of their classes, which are the state; what is in the sums never changes, so that nothing is forgotten but
    by new classes that are nearer. The background's pixels count in step 0 only, where they hold the classes to come as
    well: later targets also call old classes background. In the protocol `domain`, whose targets show all classes, they
    count in every step.

    The nearest mean is the largest of linear functions of the feature, so that the net has an ordinary classifier.
    """

    name = "prototypes"
    title = "nearest prototype"
    source = "baseline"
    learns_domains = True

    distance: Literal["cosine", "euclidean"] = Field(
        "cosine", description="distance to a prototype: the angle between features, or the distance between them"
    )
    temperature: float = Field(
        0.1, gt=0, description="temperature of the probabilities; the predicted classes do not depend on it"
    )

    def build(self, encoder: Encoder, decoder: Decoder, n_seen: int) -> Segmenter:
        features = Features(encoder.channels[-1], unit=self.distance == "cosine")
        net = Segmenter.from_parts(encoder, features, Classifier(features.width, (n_seen,)))
        return net.freeze("encoder")

    def teacher(self, before: Segmenter, step: Step) -> None:
        return None

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        self._check(before)
        return before.grown(len(step.new), balanced=False).freeze("encoder")

    def schedule(self, optim: Optim, step: Step) -> Schedule:
        """No epoch: `end_step` does all there is to do."""
        return Schedule(0, optim.lr)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The cross-entropy; nothing in a run minimises it."""
        return {"ce": cross_entropy(batch.out.logits, batch.target).mean()}

    @torch.no_grad()
    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        """The classifier of the prototypes, with the features of one pass over the step's training images."""
        self._check(net)  # a given net may be any
        step, training = context.step, net.training
        net.eval()
        head = next(net.classifier.parameters())
        sums = doubled(head.new_zeros(step.n_seen, net.decoder.width))
        counts = sums.new_zeros(step.n_seen)
        for image, target in context.batches():
            of_batch = class_sums(net.decode(net.encode(image)[1]), target, 0, step.n_seen)
            sums, counts = sums + doubled(of_batch[0]), counts + doubled(of_batch[1])
        net.train(training)
        if step.index and step.n_new:
            sums[0], counts[0] = 0, 0
        sums, counts = context.reduce(sums), context.reduce(counts)
        if step.index:
            before = context.state["sums"].to(sums), context.state["counts"].to(counts)
            sums[: len(before[0])] += before[0]
            counts[: len(before[1])] += before[1]
        if lacking := [step.seen[channel] for channel in range(step.n_old, step.n_seen) if not counts[channel]]:
            notice(f"step {step.index}: its batches show no pixel of the labels {lacking}, which are never predicted")
        means = sums / counts.clamp(min=1)[:, None]
        set_prototypes(net.classifier, means.float(), counts > 0, self.distance == "cosine", self.temperature)
        return net, {"sums": sums, "counts": counts}

    def _check(self, net: Segmenter) -> None:
        """ValueError for a net of another kind."""
        if not isinstance(net.decoder, Features) or net.decoder.unit != (self.distance == "cosine"):
            raise ValueError(
                f"the nearest prototype with distance {self.distance} continues a net without a decoder, which its own "
                f"step 0 leaves, not one with the decoder {net.decoder.recipe()}"
            )


@torch.no_grad()
def set_prototypes(
    classifier: Classifier,
    means: Float[Tensor, "C width"],
    known: Bool[Tensor, "C"],
    cosine: bool,
    temperature: float = 1.0,
) -> None:
    """Let a classifier's logits be those of the nearest mean, in place.

    With p a mean and x a feature, cos(p, x) is the product of p / ‖p‖ and a feature of length 1, and − ‖p − x‖² is
    2 pᵀ x − ‖p‖² but for ‖x‖², which is the same for all classes. Both are divided by the temperature.

    Args:
        classifier: the classifier.
        means: the prototype of each channel.
        known: which channels have one; the others are never predicted.
        cosine: whether features have length 1 and cosines count; else Euclidean distances.
        temperature: divides the logits.
    """
    if cosine:
        weight, bias = torch.nn.functional.normalize(means, dim=1), means.new_zeros(len(means))
    else:
        weight, bias = 2 * means, -means.square().sum(1)
    bias = torch.where(known, bias, NEVER)
    sizes = list(classifier.classes)
    parts = zip(classifier, weight.split(sizes), bias.split(sizes), strict=True)
    for part, *values in parts:
        part.weight.copy_(values[0][..., None, None] / temperature)  # type: ignore[operator]
        part.bias.copy_(values[1] / temperature)  # type: ignore[operator]
