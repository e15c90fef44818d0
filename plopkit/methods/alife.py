"""ALIFE: logits that adapt to new classes where the labels say background (Oh et al., NeurIPS 2022)."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from pydantic import Field, NonNegativeFloat, NonNegativeInt

from plopkit.losses import adaptive_logits, cross_entropy, distillation
from plopkit.methods.base import Batch, Method, Schedule, Term
from plopkit.model.norms import norm_names
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step, ignored_id
from plopkit.settings import Optim

Number = TypeVar("Number", int, float)


class ALIFE(Method):
    """Distils the background over all channels, and all other pixels over the old; new labels train alone.

    This is its first training; ALIFE-M, which adds a memory of features, is not built.
    """

    name = "alife"
    title = "ALIFE"
    source = "Oh et al., NeurIPS 2022"

    ali: tuple[NonNegativeFloat, ...] = Field(
        (1.0,),
        min_length=1,
        description="weights of the adaptive logit regulariser in later steps 1, 2, …; the last one repeats "
        "(VOC 15-1: 3 5 2 3 2)",
    )
    kd: tuple[NonNegativeFloat, ...] = Field(
        (1.0,),
        min_length=1,
        description="weights of the distillation, in the same way (VOC 15-1: 1 10 1 10 1)",
    )
    epochs: tuple[NonNegativeInt, ...] = Field(
        (0,),
        min_length=1,
        description="epochs of later steps, in the same way (VOC 15-1: 10 5); 0 = optim.epochs_later",
    )
    freeze_norms: bool = Field(True, description="never change the batch norms of encoder and decoder in later steps")

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        net = super().begin_step(before, step)
        return net.freeze(norm_names(net)) if self.freeze_norms else net

    def schedule(self, optim: Optim, step: Step) -> Schedule:
        """That of the settings, for the epochs of the step."""
        usual = super().schedule(optim, step)
        own = of_step(self.epochs, step) if step.index else 0
        return usual._replace(epochs=own) if own else usual

    def losses(self, batch: Batch) -> Mapping[str, Term]:
        logits, old, step = batch.out.logits, batch.old, batch.context.step
        assert old is not None
        background = batch.target == 0
        new = torch.where(background, ignored_id(logits.shape[1]), batch.target)
        # Sums and counts: a batch without a pixel of either kind gives 0, where a mean would be 0 / 0.
        regulariser = torch.where(background, adaptive_logits(logits, old.logits), 0.0).sum()
        others = torch.where(background, 0.0, distillation(logits, old.logits)).sum()
        return {
            "ce": cross_entropy(logits, new).mean(),
            "ali": (of_step(self.ali, step) * regulariser, background.sum()),
            "kd": (of_step(self.kd, step) * others, (~background).sum()),
        }


def of_step(values: Sequence[Number], step: Step) -> Number:
    """The value of a later step, among one for each; the last one repeats."""
    return values[min(step.index, len(values)) - 1]
