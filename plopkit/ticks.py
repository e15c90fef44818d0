"""What an iteration reports: a `Tick`, whose losses travel from the device while the next iteration begins."""

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

QUEUEING = ("cuda", "xpu")
"""Devices that work through a queue of their own: reading a number from one waits until its queue is empty."""


@dataclass(frozen=True)
class Tick:
    """One iteration done."""

    step: int
    epoch: int
    """from 0"""
    epochs: int
    """number of epochs of the step"""
    iteration: int
    """from 0, over all epochs of the step"""
    n_iterations: int
    """number of iterations of the step"""
    losses: dict[str, float]
    """the loss terms, and the penalty where there is one"""
    lr: float
    seconds: float
    """since the last tick, loading the images included"""
    epoch_done: bool

    @property
    def total(self) -> float:
        """The sum of the losses."""
        return sum(self.losses.values())


class Place(NamedTuple):
    """Where a training is, for an error message."""

    step: int
    epoch: int
    iteration: int


class Reading:
    """The losses of an iteration on their way to the host.

    On a device that queues its work the copy is one more entry of the queue. It is waited for only when the numbers are
    asked for, an iteration later, so that the queue never runs empty.

    Args:
        losses: by name, tensors without dimensions on one device; at least one.
        place: position in the training, for the error.
    """

    def __init__(self, losses: dict[str, Tensor], place: Place):
        together = torch.stack([value.detach().float() for value in losses.values()])
        self.names = tuple(losses)
        self.place = place
        self.queued = together.device.type in QUEUEING
        self._host: Float[Tensor, " n"] = together.to("cpu", non_blocking=True)  # pinned memory where it is queued
        self._copied = torch.accelerator.current_stream(together.device).record_event() if self.queued else None

    @cached_property
    def numbers(self) -> dict[str, float]:
        """The losses by name. The first access waits until they have arrived.

        Raises:
            FloatingPointError: with the name of the first that is NaN or infinite.
        """
        if self._copied is not None:
            self._copied.synchronize()
        numbers = dict(zip(self.names, self._host.tolist(), strict=True))
        for name, number in numbers.items():
            if not math.isfinite(number):
                raise FloatingPointError(
                    f"the loss term {name!r} is {number} in step {self.place.step}, epoch {self.place.epoch}, "
                    f"iteration {self.place.iteration}; lower optim.lr, or use compute.precision fp32 or bf16; the "
                    "training that was saved last is kept"
                )
        return numbers


class Unread(NamedTuple):
    """An iteration whose losses have not been read."""

    tick: Tick
    """all but its losses"""
    reading: Reading

    def read(self) -> Tick:
        """The whole tick; waits for the losses. FloatingPointError where one is not finite."""
        return replace(self.tick, losses=self.reading.numbers)
