"""A net on its way through a step: what it gives for a few images, now and then while it is trained."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plopkit.model.segmenter import Output, Segmenter
from plopkit.trainer import Tick

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Of a step's iterations. Most of the forgetting happens early, so they lie closer there."""


class Snapshot(NamedTuple):
    """The net after ``done`` of ``of`` iterations."""

    done: int
    of: int
    output: Output
    """on the images watched, in evaluation mode, on the CPU"""


def snapshots(
    net: Segmenter, ticks: Iterable[Tick], images: Float[Tensor, "B 3 H W"], shares: Sequence[float] = SHARES
) -> list[Snapshot]:
    """Draw the ticks, which train ``net``, and look at it before the first and after these shares of the iterations;
    after the last share no more ticks are drawn.

    Looking changes nothing: the net goes on as it would have unwatched. Two shares that come to the same iteration give
    one moment. A share outside (0, 1], or training without a tick, raises a ValueError.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares of a step's iterations are numbers above 0 and at most 1, not {tuple(shares)}")
    found = {0: outputs_of(net, images)}
    of = 0
    for tick in ticks:
        of, done = tick.n_iterations, tick.iteration + 1
        wanted = {max(1, round(share * of)) for share in shares}
        if done in wanted:
            found[done] = outputs_of(net, images)
        if done >= max(wanted):
            break
    if not of:
        raise ValueError("there is nothing to watch: the training has no iteration left")
    return [Snapshot(done, of, output) for done, output in found.items()]


@torch.no_grad()
def outputs_of(net: Segmenter, images: Float[Tensor, "B 3 H W"]) -> Output:
    """The net's output in evaluation mode, on the CPU; the net stays in the mode it was in."""
    training = net.training
    out = net.eval()(images.to(next(net.parameters()).device))
    net.train(training)
    assert out.encoded is not None and out.head is not None
    stages = tuple(stage.cpu() for stage in out.stages)
    return Output(out.logits.cpu(), out.small.cpu(), stages, out.encoded.cpu(), out.head.cpu())
