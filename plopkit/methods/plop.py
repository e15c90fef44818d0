"""PLOP: local POD and pseudo-labels (Douillard et al., CVPR 2021)."""

import math
from collections.abc import Mapping
from functools import partial
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor

from plopkit.cube import pooled_cube
from plopkit.losses import cross_entropy
from plopkit.methods.base import Batch, Method, StepContext, Term
from plopkit.model.segmenter import Output
from plopkit.pod import fold_new_into_background, pod_distance
from plopkit.pseudo import Thresholds, median_thresholds, pseudo_label, released_thresholds
from plopkit.scenario import Step
from plopkit.thresholds import RELEASED_FLOOR


class PodAndPseudoLabels(Method):
    """The losses of PLOP, which later methods build on. Not a method itself: it has no name.

    In the protocol `domain` the targets show all classes: there are no pseudo-labels, and no thresholds to compute.
    """

    pod: float = Field(0.01, ge=0, description="weight of POD on the feature maps (ADE20K: 0.001; the cube: 0.000005)")
    pod_logits: float = Field(
        0.0005, ge=0, description="weight of POD on the logits (ADE20K: 0.00001; the cube: 0.0000005)"
    )
    distil: Literal["pod", "cube"] = Field(
        "pod", description="what is distilled of the maps: local POD, or RCIL's pooled cube, with the same weights"
    )
    scales: tuple[PositiveInt, ...] = Field(
        (1, 2, 4), min_length=1, description="scales s of local POD, which divides each map into s x s regions"
    )
    thresholds: Literal["released", "median"] = Field(
        "released", description="how thresholds are computed: as in the released code, or as the paper's true medians"
    )
    floor: float = Field(
        RELEASED_FLOOR, ge=0, le=1, description="smallest threshold of a class that the teacher predicts"
    )
    adaptive: bool = Field(
        True, description="weight an image's cross-entropy by its share of confident background pixels"
    )

    def prepare(self, context: StepContext) -> Thresholds | None:
        """Section 3.3: the class-wise thresholds of uncertainty, from one pass over the training images."""
        teacher, step = context.teacher, context.step
        assert teacher is not None
        if not step.n_new:
            return None
        find = released_thresholds if self.thresholds == "released" else median_thresholds
        with torch.no_grad():
            predicted = ((teacher(image).logits, target) for image, target in context.batches())
            return find(predicted, step.n_old, step.n_seen, floor=self.floor, reduce=context.reduce)

    def losses(self, batch: Batch) -> Mapping[str, Term]:
        step, old = batch.context.step, batch.old
        assert old is not None
        if step.n_new:
            shows_old = batch.context.shows_old
            pseudo = pseudo_label(old.logits, batch.target, step.n_old, batch.prepared, shows_old)  # PLOP eq. 7
            ce = cross_entropy(batch.out.logits, pseudo.target)
            if self.adaptive:
                ce = pseudo.factor[:, None, None] * ce  # PLOP eq. 8
        else:
            ce = cross_entropy(batch.out.logits, batch.target)
        if self.distil == "cube":
            cube = pooled_cube(batch.out.activated, old.activated, self.pod, self.pod_logits)
            return {"ce": ce.mean(), "cube": cube}
        return {"ce": ce.mean(), "pod": self.pod_loss(batch.out, old, step)}

    def pod_loss(self, out: Output, old: Output, step: Step) -> Tensor:
        """Section 3.2, eq. 5, in the released form: norms not squared, new channels folded into the background."""
        distance = partial(pod_distance, scales=self.scales)
        pairs = zip(out.features, old.features, strict=True)
        terms = [self.pod * distance(new, teacher) for new, teacher in pairs]
        folded = fold_new_into_background(out.small, step.n_old)
        terms.append(self.pod_logits * distance(folded, old.small))
        # POD weighs more the more old classes there are per new class; as it is where no class is new.
        weight = math.sqrt(step.n_seen / step.n_new) if step.n_new else 1.0
        return weight * torch.stack(terms).mean()


class PLOP(PodAndPseudoLabels):
    """Distils pooled features of every stage, and lets the teacher label the background where it is confident."""

    name = "plop"
    title = "PLOP"
    source = "Douillard et al., CVPR 2021"
    learns_domains = True
    allows_memory = True
