"""The function to write in lesson 06: the losses of a method."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from plopkit.lessons.attempts import Attempt, Inputs
from plopkit.losses import cross_entropy, unbiased_cross_entropy
from plopkit.methods.base import Batch, StepContext
from plopkit.model.segmenter import Output, Segmenter
from plopkit.scenario import IGNORE, Scenario


def batches() -> list[Inputs]:
    """A method with its weight, and a batch: logits of net and teacher, a target with ignored pixels."""
    cases: list[Inputs] = []
    no_net = cast(Segmenter, None)  # the losses do not need it
    for seed, (task, weight) in enumerate((("15-5", 0.5), ("19-1", 3.0))):
        random = torch.Generator().manual_seed(60 + seed)
        step = Scenario.parse(f"emoji {task} overlap").steps[1]
        logits = 2 * torch.randn(2, step.n_seen, 4, 5, generator=random)
        old = 2 * torch.randn(2, step.n_old, 4, 5, generator=random)
        target = torch.randint(step.n_old, step.n_seen, (2, 4, 5), generator=random)
        target = torch.where(torch.rand(2, 4, 5, generator=random) < 0.5, 0, target)
        target = torch.where(torch.rand(2, 4, 5, generator=random) < 0.2, IGNORE, target)
        out, before = Output(logits.requires_grad_(), logits), Output(old, old)
        cases.append((SimpleNamespace(weight=weight), Batch(out, before, target, no_net, StepContext(step))))
    return cases


def losses(
    pull: Callable[[Tensor, Tensor], Tensor] = F.mse_loss,
    channels: Callable[[Tensor, int], Tensor] = lambda logits, n_old: logits[:, :n_old],
    scale: Callable[[float], float] = lambda weight: weight,
    new: Callable[[Tensor, Tensor, int], Tensor] = lambda *args: unbiased_cross_entropy(*args).mean(),
) -> Callable[[Any, Batch], dict[str, Tensor]]:
    """The losses, right or with one other part."""

    def terms(method: Any, batch: Batch) -> dict[str, Tensor]:
        assert batch.old is not None
        logits, old = batch.out.logits, batch.old.logits
        difference = pull(channels(logits, old.shape[1]), channels(old, old.shape[1]))
        return {"ce": new(logits, batch.target, old.shape[1]), "pull": scale(method.weight) * difference}

    return terms


ATTEMPTS: dict[str, Attempt] = {
    "06.method": Attempt(
        losses(),
        batches,
        {
            "the pull is not multiplied by self.weight.": losses(scale=lambda weight: 1.0),
            "the differences are not squared, so that those above and below cancel out.": losses(
                lambda new, old: (new - old).mean()
            ),
            "this is the mean absolute difference; square it.": losses(F.l1_loss),
            "this is a sum over all pixels; a term is a mean, or its weight depends on the image size.": losses(
                lambda new, old: (new - old).square().sum()
            ),
            "this compares probabilities: without .softmax(1), the teacher's own channels count by themselves.": losses(
                lambda new, old: F.mse_loss(new.softmax(1), old.softmax(1))
            ),
            "the background, channel 0, is left out of the pull; it is an old channel, too.": losses(
                channels=lambda logits, n_old: logits[:, 1:n_old]
            ),
            "these are the last channels of the net, the new ones included; the old ones come first.": losses(
                lambda new, old: F.mse_loss(new, old), lambda logits, n_old: logits[:, -n_old:]
            ),
            "a sign: a negative pull drives the net away from its teacher.": losses(scale=lambda weight: -weight),
            "this is the plain cross-entropy, which calls old classes background; take the unbiased one.": losses(
                new=lambda logits, target, n_old: cross_entropy(logits, target).mean()
            ),
            "this is the plain cross-entropy, and the mean of the pixels that are not ignored; take the unbiased one, "
            "and the mean of all pixels.": losses(
                new=lambda logits, target, n_old: F.cross_entropy(logits, target, ignore_index=IGNORE)
            ),
            "n_old is the number of old channels, background included.": losses(
                new=lambda logits, target, n_old: unbiased_cross_entropy(logits, target, n_old - 1).mean()
            ),
            "the cross-entropy is a value per pixel here; take its mean.": losses(new=unbiased_cross_entropy),
            "the cross-entropy is summed; take its mean.": losses(
                new=lambda logits, target, n_old: unbiased_cross_entropy(logits, target, n_old).sum()
            ),
        },
        "old = batch.old.logits has n_old = old.shape[1] channels; compare it with batch.out.logits[:, :n_old].",
        """\
from pydantic import Field

from plopkit.losses import unbiased_cross_entropy
from plopkit.methods import Method


class Mine(Method):
    \"\"\"Unbiased cross-entropy, and a pull of the old channels' logits towards the teacher's.\"\"\"

    name, title, source = "mine", "my own method", "lesson 06"
    weight: float = Field(0.3, ge=0, description="weight of the pull")

    def losses(self, batch):
        new, old = batch.out.logits, batch.old.logits
        n_old = old.shape[1]
        pull = (new[:, :n_old] - old).square().mean()
        return {"ce": unbiased_cross_entropy(new, batch.target, n_old).mean(), "pull": self.weight * pull}
""",
        gradient=True,
        errors={
            "must match the size": "the net has more channels than its teacher: compare the first n_old, "
            "batch.out.logits[:, :n_old], with batch.old.logits.",
            "255 is out of bounds": "255 marks ignored pixels and is no channel; unbiased_cross_entropy, imported "
            "above, leaves them out.",
        },
    )
}
