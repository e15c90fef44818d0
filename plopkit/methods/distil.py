"""Methods that distil the teacher's logits: LwF, LwF-MC, ILT, MiB."""

from collections.abc import Mapping

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from plopkit.losses import (
    binary_cross_entropy,
    binary_distillation,
    cross_entropy,
    distillation,
    unbiased_cross_entropy,
    unbiased_distillation,
)
from plopkit.methods.base import Batch, Method, Term
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step
from plopkit.support.precision import at_least_float32


class LwF(Method):
    """Learning without forgetting: soft cross-entropy of the old channels against the teacher."""

    name = "lwf"
    title = "LwF"
    source = "Li and Hoiem, ECCV 2016"
    learns_domains = True
    allows_memory = True

    kd: float = Field(100.0, ge=0, description="weight of the distillation")

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        return before.grown(len(step.new), balanced=False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        assert batch.old is not None
        return {
            "ce": cross_entropy(batch.out.logits, batch.target).mean(),
            "kd": self.kd * distillation(batch.out.logits, batch.old.logits).mean(),
        }


class LwFMC(Method):
    """LwF for many classes (iCaRL without its memory): every channel is a binary decision, in step 0 as well."""

    name = "lwf-mc"
    title = "LwF-MC"
    source = "Rebuffi et al., CVPR 2017"
    learns_domains = True
    allows_memory = True

    kd: float = Field(10.0, ge=0, description="weight of the binary distillation, for each old channel")

    def first_step(self) -> Method:
        return self

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        return before.grown(len(step.new), balanced=False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        bce = {"bce": binary_cross_entropy(batch.out.logits, batch.target).mean()}
        if batch.old is None:
            return bce
        weight = self.kd * batch.context.step.n_old
        return bce | {"kd": weight * binary_distillation(batch.out.logits, batch.old.logits).mean()}


class ILT(Method):
    """Incremental learning techniques: LwF, plus the squared error between the encoders' last maps."""

    name = "ilt"
    title = "ILT"
    source = "Michieli and Zanuttigh, ICCV Workshops 2019"
    learns_domains = True
    allows_memory = True

    kd: float = Field(100.0, ge=0, description="weight of the distillation")
    mse: float = Field(100.0, ge=0, description="weight of the squared error on the encoder's last map")

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        return before.grown(len(step.new), balanced=False)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        out, old = batch.out, batch.old
        assert old is not None and old.encoded is not None and out.encoded is not None
        return {
            "ce": cross_entropy(out.logits, batch.target).mean(),
            "kd": self.kd * distillation(out.logits, old.logits).mean(),
            "mse": self.mse * F.mse_loss(at_least_float32(out.encoded), at_least_float32(old.encoded)),
        }


class Unbiased(Method):
    """The losses of MiB, which later methods build on. Not a method itself: it has no name.

    In the protocol `domain` the targets show all classes, and no channel is new: both losses are then the plain ones.
    """

    kd: float = Field(
        10.0, ge=0, description="weight of the unbiased distillation (100 for VOC 15-1 in the answers of MiB's authors)"
    )

    def losses(self, batch: Batch) -> Mapping[str, Term]:
        out, old, step = batch.out, batch.old, batch.context.step
        assert old is not None
        n_hidden = step.n_old if step.n_new else 0  # channels whose pixels the target calls background
        return {
            "ce": unbiased_cross_entropy(
                out.logits, batch.target, n_hidden, batch.context.shows_old
            ).mean(),  # MiB eq. 5
            "kd": self.kd * unbiased_distillation(out.logits, old.logits).mean(),  # MiB eq. 8
        }


class MiB(Unbiased):
    """Modelling the background: the losses read it as all that is not labelled; new channels begin as its shares."""

    name = "mib"
    title = "MiB"
    source = "Cermelli et al., CVPR 2020"
    learns_domains = True
    allows_memory = True
