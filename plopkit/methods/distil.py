"""Methods that distil the teacher's logits: LwF, LwF-MC, ILT, MiB."""

from collections.abc import Callable
from typing import Any

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
from plopkit.methods.base import Batches, Method
from plopkit.model.segmenter import Output, Segmenter
from plopkit.scenario import Step
from plopkit.support.precision import at_least_float32


class LwF(Method):
    """Learning without forgetting: soft cross-entropy of the old channels against the teacher."""

    name = "lwf"
    title = "LwF"
    source = "Li and Hoiem, ECCV 2016"
    balanced = False

    kd: float = Field(100.0, ge=0, description="weight of the distillation")

    def losses(self, out: Output, old: Output | None, target: Tensor, step: Step, prepared: Any) -> dict[str, Tensor]:
        assert old is not None
        return {
            "ce": cross_entropy(out.logits, target).mean(),
            "kd": self.kd * distillation(out.logits, old.logits).mean(),
        }


class LwFMC(Method):
    """LwF for many classes (iCaRL without its memory): every channel is a yes or no of its own, in step 0 as well."""

    name = "lwf-mc"
    title = "LwF-MC"
    source = "Rebuffi et al., CVPR 2017"
    balanced = False
    own_first_step = True

    kd: float = Field(10.0, ge=0, description="weight of the binary distillation, for each old channel")

    def losses(self, out: Output, old: Output | None, target: Tensor, step: Step, prepared: Any) -> dict[str, Tensor]:
        bce = {"bce": binary_cross_entropy(out.logits, target).mean()}
        if old is None:
            return bce
        return bce | {"kd": self.kd * step.n_old * binary_distillation(out.logits, old.logits).mean()}


class ILT(Method):
    """Incremental learning techniques: LwF, and the encoder's last map held by its mean squared error."""

    name = "ilt"
    title = "ILT"
    source = "Michieli and Zanuttigh, ICCV Workshops 2019"
    balanced = False

    kd: float = Field(100.0, ge=0, description="weight of the distillation")
    mse: float = Field(100.0, ge=0, description="weight of the squared error on the encoder's last map")

    def prepare(
        self,
        teacher: Segmenter,
        loader: Batches,
        step: Step,
        reduce: Callable[[Tensor], Tensor] | None = None,
    ) -> Callable[[Tensor], Tensor]:
        """The encoder's last activation: the error is between maps behind it."""
        return teacher.encoder.activate

    def losses(self, out: Output, old: Output | None, target: Tensor, step: Step, prepared: Any) -> dict[str, Tensor]:
        assert old is not None
        activate = prepared or F.leaky_relu  # torch's slope is that of the released ResNets, 0.01
        new_map, old_map = (at_least_float32(activate(maps[-2])) for maps in (out.features, old.features))
        return {
            "ce": cross_entropy(out.logits, target).mean(),
            "kd": self.kd * distillation(out.logits, old.logits).mean(),
            "mse": self.mse * F.mse_loss(new_map, old_map),
        }


class MiB(Method):
    """Modeling the background: the losses take it for all that is not labelled, and new channels begin as its share."""

    name = "mib"
    title = "MiB"
    source = "Cermelli et al., CVPR 2020"

    kd: float = Field(10.0, ge=0, description="weight of the unbiased distillation (100 for VOC 15-1 in MiB's answers)")

    def losses(self, out: Output, old: Output | None, target: Tensor, step: Step, prepared: Any) -> dict[str, Tensor]:
        assert old is not None
        return {
            "ce": unbiased_cross_entropy(out.logits, target, step.n_old).mean(),  # eq. 5
            "kd": self.kd * unbiased_distillation(out.logits, old.logits).mean(),  # eq. 8
        }
