"""A step's training, kept on disk: at the end of each epoch, at an interval, and before it is given up."""

import time
from collections.abc import Generator, Iterator
from dataclasses import asdict

import torch
from accelerate import Accelerator
from torch import distributed

from plopkit.runs.checkpoints import StepStore
from plopkit.runs.step_files import Ticks
from plopkit.support.bars import notice
from plopkit.support.signals import HeldSignals, terminate
from plopkit.ticks import Place, Reading, Tick
from plopkit.training import Training

SHARE = 0.02
"""Largest share of the time that is spent on saving."""
QUICK = 1.0
"""Seconds. Where saving takes less, every epoch's end is saved."""


class Saver:
    """Saves a training and its ticks, on the main process.

    Args:
        training: the training.
        store: where it is kept.
        accelerator: device and processes; its scaler is part of the state.
        minutes: between two saves within an epoch (`Compute.save_minutes`).
    """

    def __init__(self, training: Training, store: StepStore, accelerator: Accelerator, minutes: float):
        self.training, self.store, self.minutes = training, store, minutes
        self.accelerator, self.main, self.scaler = accelerator, accelerator.is_main_process, accelerator.scaler
        self.done: Ticks = []
        """The ticks of the whole step, as plain values."""
        self._saved = (0, 0)
        self._saved_at = time.monotonic()
        self._seconds = 0.0

    def restore(self) -> None:
        """Continue from what is on disk, if there is something."""
        saved = self.store.load_epoch(notice) if self.main else None
        self.accelerator.wait_for_everyone()  # what is damaged is removed now
        if not self.main:
            saved = self.store.load_epoch()
        if saved is None:
            return
        state, self.done = saved
        self.training.restore(state)
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        self._saved = self.training.epoch, self.training.batch

    def is_due(self, epoch_done: bool) -> bool:
        """Whether to save now: after an epoch, and within one where the interval has passed.

        In neither case does saving take a larger share of the time than `SHARE`, unless it is quick.
        """
        if self.minutes == 0 or (epoch_done and self._seconds < QUICK):
            return True
        interval = 0.0 if epoch_done else 60 * self.minutes
        return time.monotonic() - self._saved_at >= max(interval, self._seconds / SHARE)

    def save(self) -> None:
        """Save the state after the last whole iteration, unless it is on disk or an error has left none."""
        training = self.training
        with training.lock:
            place = training.epoch, training.batch
            if not self.main or not training.whole or place == self._saved:
                return
            began = time.monotonic()
            unread = [asdict(entry.read()) for entry in training.unread if entry.tick.iteration >= len(self.done)]
            ticks = [*self.done, *unread]
            n_in_epoch = training.batch or ticks[-1]["n_iterations"] // ticks[-1]["epochs"]
            scaler = {} if self.scaler is None else self.scaler.state_dict()
            self.store.save_epoch(training.state() | {"scaler": scaler}, ticks[-n_in_epoch:])
            self._saved, self._saved_at = place, time.monotonic()
            self._seconds = self._saved_at - began

    def try_to_save(self) -> None:
        """Save before an error is passed on; where that fails as well, a notice says so, and the error is passed on."""
        try:
            self.save()
        except Exception as failure:
            notice(f"the training's state was not saved ({failure}); what was saved before is kept")


class Agreement:
    """The signal on which all processes stop: the same in all of them after the same iteration.

    On a device that queues its work the answer is read an iteration later, as the losses are.
    """

    def __init__(self, accelerator: Accelerator):
        self._device = accelerator.device
        self._alone = accelerator.num_processes == 1
        self._asked: Reading | None = None

    def __call__(self, own: int, last: bool = False) -> int:
        """The largest signal that a process has received, or 0.

        Args:
            own: this process's.
            last: whether no iteration follows, so that the answer cannot wait.
        """
        if self._alone:
            return own
        asked = torch.full((), float(own), device=self._device)
        distributed.all_reduce(asked, distributed.ReduceOp.MAX)
        new, before = Reading({"signal": asked}, Place(0, 0, 0)), self._asked
        if new.queued and not last:
            self._asked = new
            return 0 if before is None else int(before.numbers["signal"])
        return int(new.numbers["signal"])


def trained(saver: Saver, ticks: Iterator[Tick], accelerator: Accelerator) -> Generator[Tick, None, Ticks]:
    """Draw all ticks of a training that is saved; returns them as plain values.

    Whatever ends the training early saves it first: a signal after the iteration under way, an error, and a caller that
    draws no more ticks. Only a loss that is not finite does not: its state is of no use.
    """
    signals, agreed = HeldSignals(saver.save), Agreement(accelerator)
    try:
        while True:
            with signals.held():
                tick = next(ticks, None)
                if tick is not None:
                    saver.done.append(asdict(tick))
                signal = agreed(signals.received or terminate.received, tick is None)
                if tick is not None and (signal or saver.is_due(tick.epoch_done)):
                    saver.save()
            if signal:
                accelerator.wait_for_everyone()  # a launcher kills all processes as soon as one has ended
                signals.deliver(signal)
            if tick is None:
                return saver.done
            yield tick
    except FloatingPointError:
        raise
    except BaseException:
        saver.try_to_save()
        raise
    finally:
        signals.close()
