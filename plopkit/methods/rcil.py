"""RCIL: a net with two branches, and the pooled cube (Zhang et al., CVPR 2022)."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from plopkit.cube import pooled_cube
from plopkit.losses import cross_entropy
from plopkit.methods.base import Batch, Method, Term
from plopkit.methods.distil import Unbiased
from plopkit.model.branches import Merge
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.model.two_branch import TwoBranchSegmenter
from plopkit.scenario import Step


class RCIL(Unbiased):
    """Two branches, of which one keeps what was learnt; distils pooled maps, and logits as MiB does.

    Every convolution larger than 1x1, except the first, and its norm exist twice. When a step begins, both are merged
    into branch 1, which is not trained; branch 2 is (`plopkit.model.branches`).
    """

    name = "rcil"
    title = "RCIL"
    source = "Zhang et al., CVPR 2022"

    kd: float = Field(100.0, ge=0, description="weight of the unbiased distillation")
    cube: float = Field(0.01, ge=0, description="weight of the pooled cube (ADE20K: 0.000005)")
    cube_last: float = Field(
        0.0005, ge=0, description="weight of the last map in each part of the pooled cube (ADE20K: 0.0000005)"
    )
    merge: Merge = Field(
        "released", description="how branches are merged: as released, or so that the net computes exactly the same"
    )
    bias: Literal["released", "balanced"] = Field(
        "released",
        description="new channels take the background's weight, as released, or are shares of it, as in MiB",
    )
    stem: Literal["released", "activated"] = Field(
        "released", description="the first norm of a released ResNet: without an activation, as released, or with one"
    )

    def build(self, encoder: Encoder, decoder: Decoder, n_seen: int) -> Segmenter:
        if self.stem == "released":
            encoder.deactivate_stem()
        net = TwoBranchSegmenter.from_parts(encoder, decoder, Classifier(decoder.width, (n_seen,)))
        for module in net.decoder.modules():
            if isinstance(module, nn.Conv2d):
                # Gain 1, since the released code takes it from the slope of the norms, which is 1 here.
                nn.init.xavier_normal_(module.weight)
        return net

    def first_step(self) -> Method:
        return RCIL(stem=self.stem)  # nothing else matters in step 0

    def teacher(self, before: Segmenter, step: Step) -> Segmenter:
        return before.merged().frozen()  # computes the same as the two branches, in less time

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        if not isinstance(before, TwoBranchSegmenter):
            raise ValueError(
                f"RCIL continues a net with two branches, which its own step 0 leaves, not a {before.kind!r}"
            )
        net = before.grown(len(step.new), balanced=self.bias == "balanced").merge(self.merge)
        if self.bias == "released":
            copy_background(net.classifier)
        return net

    def losses(self, batch: Batch) -> Mapping[str, Term]:
        if batch.old is None:
            return {"ce": cross_entropy(batch.out.logits, batch.target).mean()}
        cube = pooled_cube(batch.out.activated, batch.old.activated, self.cube, self.cube_last)
        return {**super().losses(batch), "cube": cube}


@torch.no_grad()
def copy_background(classifier: Classifier) -> None:
    """Let the last step's channels begin with the background's weight, in place; no bias is changed.

    The released code calls this balanced. MiB's balanced start (`Classifier.grow`) sets the biases too.
    """
    first, last = classifier[0], classifier[-1]
    last.weight.copy_(background_weight(first.weight, last.weight))  # type: ignore[arg-type,operator]


def background_weight(
    old: Float[Tensor, "C width 1 1"], new: Float[Tensor, "n width 1 1"]
) -> Float[Tensor, "n width 1 1"]:
    """The weights with which new channels begin: the background's, as many times as there are new channels.

    Args:
        old: weights of step 0's classifier, the background's first.
        new: weights of the new classifier as it was drawn; of these only the shape matters.
    """
    return old[:1].expand_as(new)
