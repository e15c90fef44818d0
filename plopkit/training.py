"""What changes while a step is trained, and its state after the last whole iteration."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from plopkit.methods.base import Method, Regularizer, Schedule
from plopkit.model.segmenter import Segmenter
from plopkit.optimizer import fill_buffers, make_optimizer
from plopkit.scenario import Step
from plopkit.settings import Optim
from plopkit.ticks import Reading, Tick, Unread


class Training:
    """What changes while a step is trained: net, optimiser state, regularizer, finished epochs and batches.

    Its `state` is that after the last whole iteration, at any moment and from any thread. A forward pass changes the
    buffers of a net, such as a norm's statistics; an optimiser's step changes the rest. The buffers are therefore kept
    as they were when the iteration began, and the rest changes only inside `changing`.

    Args:
        net: to be trained, on its device.
        optim: the optimiser's settings.
        step: the step.
        method: decides epochs, learning rate and parameter groups; None for the defaults of `Method`.
        regularizer: regularizer of the method.
    """

    def __init__(
        self,
        net: Segmenter,
        optim: Optim,
        step: Step,
        method: Method | None = None,
        regularizer: Regularizer | None = None,
    ):
        self.net = net
        self.regularizer = regularizer
        self.schedule = Schedule.of_settings(optim, step) if method is None else method.schedule(optim, step)
        self.power, self.warmup = optim.power, optim.warmup
        groups = None if method is None else method.parameter_groups(net, step)
        self.optimizer = make_optimizer(net, optim, self.schedule.lr, groups)
        self.epoch = 0
        """Number of finished epochs."""
        self.batch = 0
        """Number of batches done in the epoch under way."""
        self.unread: list[Unread] = []
        """Iterations that the state counts and that have not been yielded by `fit`."""
        self.lock = threading.RLock()
        """Held while an iteration changes the state; hold it to read the state from another thread."""
        self.whole = True
        """Whether there is a state: False after an error inside `changing`."""
        self._buffers: dict[str, Tensor] = {}
        self._under_way = False

    def state(self) -> dict[str, Any]:
        """All that a step interrupted now needs to resume with the same numbers; for `torch.save`.

        Raises:
            ValueError: where `whole` is False.
        """
        if not self.whole:
            raise ValueError("an iteration has changed a part of the training's state only; use what was saved before")
        net = self.net.state_dict()
        if self._under_way:
            net |= {name: buffer for name, buffer in self._buffers.items() if name in net}
        regularizer = {} if self.regularizer is None else {"regularizer": self.regularizer.state()}
        return regularizer | {
            "net": net,
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
            "batch": self.batch,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        fill_buffers(self.optimizer)  # a state of a CPU lacks those of parameters without a gradient so far
        self.epoch = state["epoch"]
        self.batch = state.get("batch", 0)  # earlier versions saved finished epochs only
        if self.regularizer is not None:
            self.regularizer.restore(state["regularizer"])

    def begin(self) -> None:
        """Forget what an earlier loop has left, which was ended in an iteration or before its last tick was drawn."""
        self.unread.clear()
        if self._under_way:
            for name, buffer in self.net.named_buffers():
                buffer.copy_(self._buffers[name])
            self._under_way = False

    def begin_iteration(self) -> None:
        """Keep the net's buffers, before a forward pass changes them."""
        with self.lock:
            buffers = dict(self.net.named_buffers())
            if self._buffers.keys() != buffers.keys():
                self._buffers = {name: buffer.clone() for name, buffer in buffers.items()}
            elif buffers:
                torch._foreach_copy_(list(self._buffers.values()), list(buffers.values()))
            self._under_way = True

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Change the state by one iteration inside the context; count it with `count` before the end."""
        with self.lock:
            self.whole = False
            yield
            self.whole, self._under_way = True, False

    def count(self, tick: Tick, reading: Reading) -> None:
        """Count an iteration whose optimiser step has been made.

        Args:
            tick: all but its losses.
            reading: its losses.
        """
        done = self.batch + 1
        self.epoch, self.batch = (tick.epoch + 1, 0) if tick.epoch_done else (tick.epoch, done)
        self.unread.append(Unread(tick, reading))
