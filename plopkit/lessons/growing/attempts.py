"""The function to write in lesson 02: the balanced start of a grown classifier."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from plopkit.lessons.attempts import Attempt, Inputs
from plopkit.model.classifiers import Classifier

Weight = Float[Tensor, "C width"]
Bias = Float[Tensor, " C"]


def grown(weight: Weight, bias: Bias, n_new: int) -> tuple[Tensor, Tensor]:
    """Weight and bias of the library's classifier after `grow`."""
    n_old, width = weight.shape
    classifier = Classifier(width, [n_old])
    classifier.load_state_dict({"0.weight": weight[..., None, None], "0.bias": bias})
    classifier.grow(n_new)
    state = classifier.state_dict()
    return torch.cat([state["0.weight"], state["1.weight"]])[..., 0, 0], torch.cat([state["0.bias"], state["1.bias"]])


def hidden() -> list[Inputs]:
    """Old classifiers of several sizes."""
    random = torch.Generator().manual_seed(2)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    return [(normal(n, width), normal(n), new) for n, width, new in ((3, 4, 2), (16, 5, 5), (6, 7, 1))]


def variant(
    background: Callable[[Tensor, int], Tensor] = lambda b, n: b - math.log(n + 1),
    new: Callable[[Tensor, int], Tensor] | None = None,
    row: Callable[[Tensor, int], Tensor] = lambda w, n: w[:1].expand(n, -1),
) -> Callable[[Weight, Bias, int], tuple[Tensor, Tensor]]:
    """A start whose background, new biases (as the background by default) or new rows are computed in another way."""

    def start(weight: Weight, bias: Bias, n_new: int) -> tuple[Tensor, Tensor]:
        first, added = background(bias[:1], n_new), (new or background)(bias[:1], n_new).expand(n_new)
        return torch.cat([weight, row(weight, n_new)]), torch.cat([first, bias[1:], added])

    return start


def new_first(weight: Weight, bias: Bias, n_new: int) -> tuple[Tensor, Tensor]:
    """The right values in the wrong order."""
    weight, bias = variant()(weight, bias, n_new)
    return weight.roll(n_new, 0), bias.roll(n_new)


def all_lowered(weight: Weight, bias: Bias, n_new: int) -> tuple[Tensor, Tensor]:
    """Lowers the old classes as well."""
    weight, bias = variant(lambda b, n: b)(weight, bias, n_new)
    return weight, bias - math.log(n_new + 1)


ATTEMPTS: dict[str, Attempt] = {
    "02.balanced": Attempt(
        grown,
        hidden,
        {
            "a sign: the share of the background gets smaller, so its logit is lowered by ln(n_new + 1).": variant(
                lambda b, n: b + math.log(n + 1)
            ),
            "count again: the background keeps a share as well, so there are n_new + 1 shares, not n_new.": variant(
                lambda b, n: b - math.log(n)
            ),
            "the background itself keeps only one share: its own bias has to be lowered too.": variant(
                lambda b, n: b, lambda b, n: b - math.log(n + 1)
            ),
            "the new channels get the background's new, lowered bias, not its old one.": variant(
                new=lambda b, n: b, background=lambda b, n: b - math.log(n + 1)
            ),
            "probabilities are divided, logits are not: exp(z) / (n + 1) is exp(z - ln(n + 1)).": variant(
                lambda b, n: b / (n + 1)
            ),
            "ln is the natural logarithm, math.log; base 2 gives other shares.": variant(
                lambda b, n: b - math.log2(n + 1)
            ),
            "ln is the natural logarithm, math.log; base 10 gives other shares.": variant(
                lambda b, n: b - math.log10(n + 1)
            ),
            "the new rows are the background's weight itself, not divided: the bias makes the share.": variant(
                row=lambda w, n: w[:1].expand(n, -1) / (n + 1)
            ),
            "the new rows are zero; they have to repeat the background's row, weight[0].": variant(
                row=lambda w, n: torch.zeros(n, w.shape[1])
            ),
            "the new rows are the mean of the old rows; they have to repeat the background's, weight[0].": variant(
                row=lambda w, n: w.mean(0, keepdim=True).expand(n, -1)
            ),
            "the new rows repeat the last old row; they have to repeat the background's, weight[0].": variant(
                row=lambda w, n: w[-1:].expand(n, -1)
            ),
            "the new biases are -ln(n_new + 1) alone; the background's old bias, bias[0], is missing in them.": variant(
                new=lambda b, n: torch.full_like(b, -math.log(n + 1))
            ),
            "the order: old channels come first, the background at 0, and the new ones at the end.": new_first,
            "the old classes keep their bias; only the background's is shared.": all_lowered,
            "nothing is shared yet: lower the bias of the background and of the new channels by ln(n_new + 1).": (
                variant(lambda b, n: b)
            ),
        },
        "try it by hand with one old and one new class: which of the old numbers stay as they are?",
        """\
import math

import torch


def balanced_start(weight, bias, n_new):
    shared = bias[:1] - math.log(n_new + 1)
    new_weight = weight[:1].expand(n_new, -1)
    return torch.cat([weight, new_weight]), torch.cat([shared, bias[1:], shared.expand(n_new)])
""",
    )
}
