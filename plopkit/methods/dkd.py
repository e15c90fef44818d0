"""DKD: distillation of the parts of the logits that positive and negative weights give (Baek et al., NeurIPS 2022)."""

from collections.abc import Mapping
from typing import Any

from jaxtyping import Int
from pydantic import Field
from torch import Tensor

from plopkit.binary import auxiliary_loss, multiple_binary_cross_entropy, part_distillation, summed_distillation
from plopkit.memory import recognised
from plopkit.methods.base import Batch, Method, Term
from plopkit.methods.sigmoid import FixedNorms, first_groups, fixed, group
from plopkit.model.decoder import Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.sigmoid import Decomposed, SigmoidClassifier
from plopkit.model.upsampling import upsample
from plopkit.scenario import Step
from plopkit.support.precision import at_least_float32


class Decomposing(FixedNorms):
    """What DKD does without and with a memory. Not a method itself: it has no name."""

    kd: float = Field(5.0, ge=0, description="weight of the distillation of the logits")
    dkd_positive: float = Field(5.0, ge=0, description="weight of the distillation of their positive parts")
    dkd_negative: float = Field(5.0, ge=0, description="weight of the distillation of their negative parts")
    auxiliary: float = Field(1.0, ge=0, description="weight of the auxiliary classifier's loss")
    positive_first: float = Field(2.0, gt=0, description="weight of a class's pixels in step 0 (ADE20K: 35)")
    positive: float = Field(1.0, gt=0, description="weight of a class's pixels in later steps (ADE20K: 35)")
    head_lr: float = Field(10.0, gt=0, description="rate of decoder and classifiers, relative to the encoder's")
    last: bool = Field(True, description="one more 3x3 convolution before the classifiers")

    def first_step(self) -> Method:
        """The same for all weights of distillation."""
        return self.without(*LATER_ONLY)

    def build(self, encoder: Encoder, decoder: Decoder, n_seen: int) -> Segmenter:
        encoder, aspp = self.prepared_parts(encoder, decoder, self.last)
        return Decomposed.from_parts(encoder, aspp, SigmoidClassifier(aspp.width, (n_seen,), auxiliary=True))

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        """New classifiers are copies of the auxiliary one; norms and dropout are fixed.

        Raises:
            ValueError: for a net of another kind.
        """
        if not isinstance(before, Decomposed):
            raise ValueError(
                f"DKD continues a net of its own kind, with an auxiliary classifier, not a {before.kind!r}"
            )
        return fixed(before.grown(len(step.new)))

    def parameter_groups(self, net: Segmenter, step: Step) -> list[dict[str, Any]]:
        """Later, only the new classifier's weights decay."""
        if not step.index:
            return first_groups(net, self.head_lr)
        *old, new = net.classifier
        return [
            group([net.encoder], 1.0, 0.0),
            group([net.decoder, *old], self.head_lr, 0.0),
            group([new], self.head_lr),
        ]

    def losses(self, batch: Batch) -> Mapping[str, Term]:
        out, old, step = batch.out, batch.old, batch.context.step
        positive = self.positive if step.index else self.positive_first
        terms: dict[str, Term] = {
            "mbce": multiple_binary_cross_entropy(out.logits, batch.target, step.n_old, positive).mean(),
            "ac": self.auxiliary * auxiliary_loss(upsample(out.aux.auxiliary, out.logits.shape[2:])),
        }
        if old is None:
            return terms
        return terms | {
            "kd": self.kd * summed_distillation(out.logits, old.logits),
            "dkd_pos": self.dkd_positive * part_distillation(out.aux.positive, old.aux.positive),
            "dkd_neg": self.dkd_negative * part_distillation(out.aux.negative, old.aux.negative),
        }


LATER_ONLY = ("kd", "dkd_positive", "dkd_negative", "positive")
"""Hyper-parameters without effect on step 0."""


class DKD(Decomposing):
    """Binary decisions by class; distils the logits, and their positive and negative parts; norms stand still."""

    name = "dkd"
    title = "DKD"
    source = "Baek et al., NeurIPS 2022"


class DKDM(Decomposing):
    """DKD with a memory, whose images show the step's new classes only: they distil, and are negatives."""

    name = "dkd-m"
    title = "DKD-M"
    source = "Baek et al., NeurIPS 2022"
    allows_memory = True
    memory_labels = ("new",)  # all others give the same losses, in which only new classes differ from the background

    def first_step(self) -> Method:
        """DKD's, so that both share it."""
        return self.first_step_of(DKD)

    def candidate_target(self, out: Output, target: Int[Tensor, "B H W"], step: Step) -> Int[Tensor, "B H W"]:
        """The target, with the old classes that the net is sure of on its background."""
        return sure_classes(out, target)


def sure_classes(out: Output, target: Int[Tensor, "B H W"]) -> Int[Tensor, "B H W"]:
    """The target, with the classes whose probability is at least 0.9 where nothing is labelled (DKD-M, STAR-M)."""
    probabilities = at_least_float32(out.logits).sigmoid()
    probabilities[:, 0] = 0  # no class
    return recognised(probabilities, target, SURE)


SURE = 0.9
"""Least probability of a class that a candidate is taken to show."""
