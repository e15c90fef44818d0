"""The functions to write in lesson 05: MiB's unbiased cross-entropy, and EWC's penalty."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from plopkit.lessons.attempts import Attempt, Inputs
from plopkit.losses import cross_entropy, unbiased_cross_entropy
from plopkit.methods.regularize import Named, QuadraticPenalty
from plopkit.scenario import IGNORE

Logits = Float[Tensor, "B C H W"]
Target = Int[Tensor, "B H W"]
Merge = Callable[[Tensor, int], Tensor]


def pixels() -> list[Inputs]:
    """Logits with targets: background, new channels, and some ignored pixels."""
    cases: list[Inputs] = []
    for seed, (n_old, n_seen, shape) in enumerate(((3, 5, (2, 4, 5)), (16, 21, (1, 6, 6)))):
        random = torch.Generator().manual_seed(50 + seed)
        logits = 2 * torch.randn(shape[0], n_seen, *shape[1:], generator=random)
        new = torch.randint(n_old, n_seen, shape, generator=random)
        kind = torch.rand(shape, generator=random)
        target = torch.where(kind < 0.5, 0, torch.where(kind < 0.85, new, IGNORE))
        cases.append((logits.requires_grad_(), target, n_old))
    return cases


def variant(background: Merge, ignored: float = 0.0) -> Callable[[Logits, Target, int], Tensor]:
    """A cross-entropy with another ln p of the background, or another value where the target is ignored."""

    def loss(logits: Logits, target: Target, n_old: int) -> Tensor:
        new = cross_entropy(logits, torch.where(target == 0, IGNORE, target))
        values = torch.where(target == 0, -background(logits, n_old), new)
        return torch.where(target == IGNORE, ignored, values)

    return loss


def log_sum(logits: Logits, n_old: int) -> Tensor:
    """ln Σ_{c < n_old} p_c, as it should be."""
    return logits.log_softmax(1)[:, :n_old].logsumexp(1)


def ignored_as_background(logits: Logits, target: Target, n_old: int) -> Tensor:
    """Computes a loss where there is no label."""
    return unbiased_cross_entropy(logits, torch.where(target == IGNORE, 0, target), n_old)


def softmax_over(dim: int, background_only: bool = False) -> Callable[[Logits, Target, int], Tensor]:
    """A softmax over another axis than the channels', everywhere or for the background only."""

    def loss(logits: Logits, target: Target, n_old: int) -> Tensor:
        log_p = logits.log_softmax(dim)
        background = log_p[:, :n_old].logsumexp(1)
        if background_only:
            return variant(lambda z, n: background)(logits, target, n_old)
        new = log_p.gather(1, target.clamp(max=logits.shape[1] - 1)[:, None])[:, 0]
        return torch.where(target == IGNORE, 0.0, -torch.where(target == 0, background, new))

    return loss


WRONG_AXES = {
    f"wrong axis: the probabilities of a pixel are over the channels, axis 1; {which} is over {axis}.": softmax_over(
        dim, background_only
    )
    for background_only, which in ((False, "this softmax"), (True, "the background's softmax"))
    for dim, axis in ((0, "axis 0"), (2, "axis 2"), (3, "the last"))
}


def merged_by_sum(logits: Logits, target: Target, n_old: int) -> Tensor:
    """Adds logits where probabilities have to be added."""
    merged = torch.cat([logits[:, :n_old].sum(1, keepdim=True), logits[:, n_old:]], 1)
    moved = torch.where(target >= n_old, target - n_old + 1, target)
    return cross_entropy(merged, torch.where(target == IGNORE, IGNORE, moved))


def parameters() -> list[Inputs]:
    """A net's parameters, those when the step began, their importance, and the factor. "new" came with the step."""
    random = torch.Generator().manual_seed(55)
    cases: list[Inputs] = []
    for factor, n in ((0.3, 3), (100.0, 4)):
        shapes = {"weight": (n, 2), "bias": (n,), "scale": (n,), "new": (2, 2)}
        start = {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}
        now = {name: (p + torch.randn(p.shape, generator=random)).requires_grad_() for name, p in start.items()}
        importance = {name: torch.rand(start[name].shape, generator=random) for name in ("weight", "bias", "scale")}
        cases.append((now, start, importance, factor))
    return cases


def library_penalty(now: Named, start: Named, importance: Named, factor: float) -> Tensor:
    """The library's penalty on a net of these parameters."""
    net = nn.ParameterDict({name: parameter.clone() for name, parameter in start.items()})
    penalty = QuadraticPenalty(factor, net, importance)
    with torch.no_grad():
        for name, parameter in net.items():
            parameter.copy_(now[name])
    value = penalty.add_gradient(net)
    assert value is not None
    return value


def penalty(
    term: Callable[[Tensor, Tensor], Tensor],
    scale: Callable[[float], float] = lambda factor: factor,
    mean: bool = False,
) -> Callable[[Named, Named, Named, float], Tensor]:
    """A penalty with another term (from the distance θ − θ* and the importance w) or another factor."""

    def value(now: Named, start: Named, importance: Named, factor: float) -> Tensor:
        terms = [term(now[name] - start[name], w) for name, w in importance.items()]
        return scale(factor) * torch.stack([t.mean() if mean else t.sum() for t in terms]).sum()

    return value


ATTEMPTS: dict[str, Attempt] = {
    "05.ewc": Attempt(
        library_penalty,
        parameters,
        {
            "the importance is missing: without it every parameter is held with the same strength.": penalty(
                lambda d, w: d.square()
            ),
            "the distance is not squared: the penalty is w (θ − θ*)².": penalty(lambda d, w: w * d),
            "this is w |θ − θ*|; EWC squares the distance.": penalty(lambda d, w: w * d.abs()),
            "the importance is squared, too; square only θ − θ*.": penalty(lambda d, w: (w * d).square()),
            "the factor is missing.": penalty(lambda d, w: w * d.square(), lambda factor: 1.0),
            "Kirkpatrick et al. write λ/2, the code of this course λ: no ½.": penalty(
                lambda d, w: w * d.square(), lambda factor: factor / 2
            ),
            "this is a mean over the parameters of a tensor; the penalty is a sum over all.": penalty(
                lambda d, w: w * d.square(), mean=True
            ),
            "a sign: a penalty that falls with the distance rewards forgetting.": penalty(
                lambda d, w: w * d.square(), lambda factor: -factor
            ),
            "this is the root of the sum of squares; EWC adds the squares.": lambda now, start, w, factor: (
                factor * library_penalty(now, start, w, 1.0).sqrt()
            ),
        },
        "try one parameter by hand; a parameter that came with the step has no importance yet and does not count.",
        """\
def ewc_penalty(parameters, start, importance, factor):
    moved = {name: parameters[name] - start[name] for name in importance}
    return factor * sum((importance[name] * moved[name] ** 2).sum() for name in importance)
""",
        gradient=True,
        errors={
            "'new'": "a parameter that came with the step has no importance yet: go through the names in `importance`."
        },
    ),
    "05.unbiased": Attempt(
        unbiased_cross_entropy,
        pixels,
        {
            "this is the plain cross-entropy: background may also be any old class, so add up their probabilities.": (
                variant(lambda z, n: z.log_softmax(1)[:, 0])
            ),
            "the background itself is missing in the sum: channels 0 to n_old - 1.": variant(
                lambda z, n: z.log_softmax(1)[:, 1:n].logsumexp(1)
            ),
            "the sum has a channel too many: n_old is the first new one.": variant(
                lambda z, n: z.log_softmax(1)[:, : n + 1].logsumexp(1)
            ),
            "this adds the new channels to the background, which MiB's distillation does; the cross-entropy adds the "
            "old ones.": variant(
                lambda z, n: torch.cat([z.log_softmax(1)[:, :1], z.log_softmax(1)[:, n:]], 1).logsumexp(1)
            ),
            "a sum of ln p is the logarithm of a product: first add the probabilities, then take ln (logsumexp).": (
                variant(lambda z, n: z.log_softmax(1)[:, :n].sum(1))
            ),
            "the probabilities of the old channels are averaged; add them up.": variant(
                lambda z, n: z.softmax(1)[:, :n].mean(1).log()
            ),
            "only the largest of the old probabilities counts here; add them up.": variant(
                lambda z, n: z.log_softmax(1)[:, :n].amax(1)
            ),
            "logits are added here; add probabilities: the merged logit is logsumexp of the old logits.": merged_by_sum,
            "the softmax of the background is over the old channels alone; it has to be over all.": variant(
                lambda z, n: z[:, :n].log_softmax(1).logsumexp(1)
            ),
            **WRONG_AXES,
            "a sign: the loss is - ln p.": lambda z, target, n: -unbiased_cross_entropy(z, target, n),
            "ignored pixels (255) have no loss: 0 there.": ignored_as_background,
            "this is the mean; return a value for each pixel.": lambda z, target, n: unbiased_cross_entropy(
                z, target, n
            )[target != IGNORE].mean(),
            "this is the mean, ignored pixels included; return a value for each pixel.": lambda z, target, n: (
                unbiased_cross_entropy(z, target, n).mean()
            ),
        },
        "there are three cases: background, a new class, and 255; try a pixel with equal logits by hand.",
        """\
import torch


def unbiased_ce(logits, target, n_old):
    log_p = logits.log_softmax(1)
    background = log_p[:, :n_old].logsumexp(1)
    channel = target.clamp(max=logits.shape[1] - 1)  # 255 is no channel
    new = log_p.gather(1, channel[:, None])[:, 0]
    loss = -torch.where(target == 0, background, new)
    return torch.where(target == 255, 0.0, loss)
""",
        gradient=True,
        errors={
            "255 is out of bounds": "255 marks ignored pixels and is no channel: leave them out (`ignore_index=255`), "
            "or look up another channel there, and set their loss to 0."
        },
    ),
}
