"""Methods that distil the teacher's logits."""

from typing import Any

from pydantic import Field
from torch import Tensor

from plopkit.losses import unbiased_cross_entropy, unbiased_distillation
from plopkit.methods.base import Method
from plopkit.model.segmenter import Output
from plopkit.scenario import Step


class MiB(Method):
    """Modeling the Background (Cermelli et al., CVPR 2020)."""

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
