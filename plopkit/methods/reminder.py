"""REMINDER: PLOP, and a distillation weighted by the similarity of classes (Phan et al., CVPR 2022)."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from plopkit.methods.base import Batch, State, StepContext, Term
from plopkit.methods.plop import PodAndPseudoLabels
from plopkit.model.segmenter import Segmenter
from plopkit.prototypes import class_similarity_distillation, prototype_sums
from plopkit.pseudo import Thresholds


class Prepared(NamedTuple):
    """What a later step of `Reminder` knows before it is trained."""

    thresholds: Thresholds
    """as PLOP's"""
    prototypes: Tensor
    """of the old classes, (n_old, D), on the net's device"""


class Reminder(PodAndPseudoLabels):
    """PLOP, and on pixels of new classes a distillation of those old classes that resemble them most."""

    name = "reminder"
    title = "REMINDER"
    source = "Phan et al., CVPR 2022"

    csw: float = Field(0.5, ge=0, description="weight of the class-similarity-weighted distillation")
    temperature: float = Field(3.0, gt=0, description="temperature of this distillation")
    delta: float = Field(
        0.0, ge=0, description="old classes less similar than this share of the average are left out (ADE20K: 1)"
    )

    def prepare(self, context: StepContext) -> Prepared:  # type: ignore[override]  # thresholds and more
        thresholds = super().prepare(context)
        assert thresholds is not None  # there are new classes: it learns no domains
        return Prepared(thresholds, context.state["prototypes"].to(thresholds.values.device))

    def losses(self, batch: Batch) -> Mapping[str, Term]:
        prepared: Prepared = batch.prepared
        terms = super().losses(batch._replace(prepared=prepared.thresholds))
        out, old = batch.out, batch.old
        assert old is not None and out.head is not None
        total, count = class_similarity_distillation(
            out.head, out.logits, old.logits, batch.target, prepared.prototypes, self.delta, self.temperature
        )
        return {**terms, "csw": (self.csw * total, count)}

    @torch.no_grad()
    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        """Prototypes of the step's classes, from one pass over its training images; those of old classes stay.

        The background's is that of step 0.
        """
        step, training = context.step, net.training
        net.eval()
        batches = ((net.decode(net.encode(image)[1]), target) for image, target in context.batches())
        # A batch of one process is a batch, as where the released code is started on several GPUs.
        sums, counts = map(context.reduce, prototype_sums(batches, step.n_old, step.n_seen))
        net.train(training)
        means = sums / counts.clamp(min=1)[:, None]
        if step.index:
            means[: step.n_old] = context.state["prototypes"].to(means)
        return net, {"prototypes": means}
