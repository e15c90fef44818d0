"""EWF: after a step, the net's weights are fused with those from before it (Xiao et al., CVPR 2023)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from plopkit.fusion import fused, fused_thresholded, merge_threshold, merge_weight
from plopkit.methods.base import Method, State, StepContext
from plopkit.methods.distil import Unbiased
from plopkit.methods.plop import PodAndPseudoLabels
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step


class Fused(Method):
    """Trains no old classifier, and fuses all else when a step ends. Not a method itself: it has no name.

    The old classifiers' background bias, lowered by ln(n + 1) when the step begins and frozen there, is fused as well
    and so ends at b − λ ln(n + 1). The fused running statistics of norms are not those of the fused weights.
    """

    fusion: Literal["all", "thresholded"] = Field(
        "all", description="whether every value is fused, or only those that have moved most, as an option of the code"
    )
    share: float = Field(0.45, ge=0, le=1, description="share of the values that thresholded fusion fuses")

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        net = before.grown(len(step.new))
        return net.freeze(f"classifier.{index}" for index in range(len(net.classifier) - 1))

    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        if context.before is not None:
            before, after = floating(context.before()), floating(net)
            weight = merge_weight(len(context.step.new), context.step.n_seen)
            # The threshold looks at all tensors, so it is found before any is changed.
            threshold = merge_threshold(before, after, self.share) if self.fusion == "thresholded" else None
            for name, old in before.items():
                new = after[name]
                if torch.equal(old, new):  # of a frozen encoder, which rounding would change
                    continue
                new.copy_(
                    fused(old, new, weight) if threshold is None else fused_thresholded(old, new, weight, threshold)
                )
        return net, {}


class EWF(Fused, PodAndPseudoLabels):
    """PLOP whose weights are fused with those of the step before; old classifiers are not trained."""

    name = "ewf"
    title = "EWF"
    source = "Xiao et al., CVPR 2023"
    allows_memory = True


class EWFMiB(Fused, Unbiased):
    """MiB whose weights are fused with those of the step before; old classifiers are not trained."""

    name = "ewf-mib"
    title = "MiB + EWF"
    source = "Xiao et al., CVPR 2023"
    allows_memory = True


def floating(net: Segmenter) -> dict[str, Tensor]:
    """The net's own weights and statistics by name, without counters such as ``num_batches_tracked``."""
    return {name: tensor.detach() for name, tensor in net.state_dict().items() if tensor.is_floating_point()}
