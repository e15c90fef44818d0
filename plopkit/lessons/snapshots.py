"""Snapshots of a net during a step: its output for a few images, several times while it is trained."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from plopkit.model.segmenter import Output, Segmenter
from plopkit.support.kernels import brief_interrupts
from plopkit.ticks import Tick

SHARES = (1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Of a step's iterations. Most of the forgetting happens early, so they are closer together there."""


class Snapshot(NamedTuple):
    """The net after ``done`` of ``n_iterations`` iterations."""

    done: int
    n_iterations: int
    output: Output
    """For the images, in evaluation mode, on the CPU."""

    @property
    def of(self) -> int:
        """`n_iterations`, by its name in plopkit 0.1."""
        return self.n_iterations


def snapshots(
    net: Segmenter, ticks: Iterable[Tick], images: Float[Tensor, "B 3 H W"], shares: Sequence[float] = SHARES
) -> list[Snapshot]:
    """Train a net and take snapshots of it: before the first iteration, and after these shares of all iterations.

    Training ends after the last share. The snapshots do not change the training. Shares that fall on the same
    iteration give one snapshot.

    Args:
        net: the net that is trained.
        ticks: the training; each tick that is drawn trains ``net`` by one iteration.
        images: normalised, as the net expects them.
        shares: shares of the step's iterations, in (0, 1].

    Raises:
        ValueError: a share is outside (0, 1], or the training has no iteration.
    """
    if not shares or not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares of a step's iterations are numbers above 0 and at most 1, not {tuple(shares)}")
    outputs = {0: outputs_of(net, images)}
    n_iterations = 0
    with brief_interrupts("Run the cell again; these iterations begin again."):
        for tick in ticks:
            n_iterations, done = tick.n_iterations, tick.iteration + 1
            wanted = {max(1, round(share * n_iterations)) for share in shares}
            if done in wanted:
                outputs[done] = outputs_of(net, images)
            if done >= max(wanted):
                break
    if not n_iterations:
        raise ValueError("there are no snapshots to take: the training has no iteration left")
    return [Snapshot(done, n_iterations, output) for done, output in outputs.items()]


@torch.no_grad()
def outputs_of(net: Segmenter, images: Float[Tensor, "B 3 H W"]) -> Output:
    """The net's output in evaluation mode, on the CPU; afterwards the net is in the mode it was in."""
    training = net.training
    out = net.eval()(images.to(next(net.parameters()).device))
    net.train(training)
    return Output._make(_on_cpu(part) for part in out)


def _on_cpu(part: Any) -> Any:
    if isinstance(part, tuple):
        return tuple(_on_cpu(item) for item in part)
    return part.cpu() if isinstance(part, Tensor) else part
