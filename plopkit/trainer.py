"""The loop: ``fit`` trains one step and yields a Tick each iteration; ``evaluate`` counts."""

import contextlib
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Int
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer
from torch.utils.data import DataLoader

from plopkit.compute import num_micro_batches, shares
from plopkit.methods.base import Method, Watcher
from plopkit.metrics import confusion
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step
from plopkit.settings import Optim

Batches = DataLoader | Sequence[tuple[Tensor, Tensor]]
"""Images (B, 3, H, W) and targets (B, H, W). A loader's ``sampler.epoch`` is set, where it has one."""


@dataclass(frozen=True)
class Tick:
    """One iteration done. ``iteration`` and ``epoch`` count from 0; ``of`` is the step's number of iterations,
    ``epochs`` of epochs."""

    step: int
    epoch: int
    epochs: int
    iteration: int
    of: int
    losses: dict[str, float]
    lr: float
    seconds: float
    epoch_done: bool

    @property
    def total(self) -> float:
        return sum(self.losses.values())


class Training:
    """What changes while a step is trained: the net, the optimiser's memory, the epochs done."""

    def __init__(
        self, net: Segmenter, optim: Optim, step: Step, as_first: bool = False, watcher: Watcher | None = None
    ):
        first = as_first or step.index == 0
        self.net = net
        self.watcher = watcher
        self.epochs = optim.epochs if first else optim.epochs_later
        self.lr = optim.lr if first else optim.lr_later
        self.power = optim.power
        self.optimizer = make_optimizer(net, optim, self.lr)
        self.epoch = 0

    def state(self) -> dict[str, Any]:
        watched = {} if self.watcher is None else {"watcher": self.watcher.state()}
        return watched | {"net": self.net.state_dict(), "optimizer": self.optimizer.state_dict(), "epoch": self.epoch}

    def restore(self, state: dict[str, Any]) -> None:
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        if self.watcher is not None:
            self.watcher.restore(state["watcher"])


def make_optimizer(net: Segmenter, optim: Optim, lr: float) -> Optimizer:
    """All parameters in one group, as published: weight decay on biases and norms too."""
    if optim.name == "adamw":
        return AdamW(net.parameters(), lr, weight_decay=optim.weight_decay)
    nesterov = optim.momentum > 0
    return SGD(net.parameters(), lr, momentum=optim.momentum, nesterov=nesterov, weight_decay=optim.weight_decay)


def poly(lr: float, iteration: int, of: int, power: float = 0.9) -> float:
    """The poly schedule: lr (1 - iteration / of) ** power."""
    return lr * (1 - iteration / of) ** power


def fit(
    training: Training,
    loader: Batches,
    method: Method,
    step: Step,
    accelerator: Accelerator,
    teacher: Segmenter | None = None,
    prepared: Any = None,
    micro_batch: int | None = None,
) -> Iterator[Tick]:
    """Train one step from ``training.epoch`` to the end; every iteration yields a Tick.

    micro_batch: at most so many images go through the net at once, and their gradients add up to the batch's; None is
    the whole batch. On a tick with ``epoch_done`` the training's ``state()`` may be saved; restored, it goes on to the
    same numbers. FloatingPointError names the first loss term that is not finite.
    """
    net, optimizer = accelerator.prepare(training.net, training.optimizer)
    of = training.epochs * len(loader)
    net.train()
    losses = partial(_losses, net, teacher, method, step, prepared, accelerator)
    backward = partial(_backward, losses, micro_batch, net, accelerator)
    own: list[int] = []
    for epoch in range(training.epoch, training.epochs):
        last = len(loader) - 1
        began = time.perf_counter()  # a tick's seconds count its images' loading
        for index, (image, target) in enumerate(batches(loader, epoch, accelerator)):
            iteration = epoch * len(loader) + index
            lr = poly(training.lr, iteration, of, training.power)
            for group in optimizer.param_groups:
                group["lr"] = lr
            if not own or accelerator.num_processes == 1:  # several processes' batches are alike, and asking is a wait
                own = shares(len(image), accelerator)
            values = backward(image, target, own, where := (step.index, epoch, iteration))
            values |= _watched(training, optimizer, accelerator, where)
            optimizer.step()
            optimizer.zero_grad()
            if index == last:
                training.epoch = epoch + 1
            seconds = time.perf_counter() - began
            yield Tick(step.index, epoch, training.epochs, iteration, of, values, lr, seconds, index == last)
            began = time.perf_counter()


def _losses(
    net: Any,
    teacher: Segmenter | None,
    method: Method,
    step: Step,
    prepared: Any,
    accelerator: Accelerator,
    image: Tensor,
    target: Tensor,
) -> dict[str, Tensor]:
    with accelerator.autocast():
        out = net(image)
        old = _seen_by(teacher, image)
    return method.losses(out, old, target, step, prepared)


def _backward(
    losses: Callable[[Tensor, Tensor], dict[str, Tensor]],
    micro_batch: int | None,
    net: Any,
    accelerator: Accelerator,
    image: Tensor,
    target: Tensor,
    own: list[int],
    where: tuple[int, int, int],
) -> dict[str, float]:
    """The gradients of a batch, part by part, and its losses by name, over all processes; ``own`` images of each.

    Each process cuts its images into as many parts as that with the most, for they go through batch norm together.
    """
    count = num_micro_batches(max(own), micro_batch)
    sums: dict[str, Tensor] = {}
    values: dict[str, float] = {}
    for number, (images, targets) in enumerate(zip(image.tensor_split(count), target.tensor_split(count), strict=True)):
        share = len(images) * len(own) / sum(own)  # of the batch; the mean over the processes makes it whole
        last = number == count - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(net):  # processes add up once, at the end
            terms = losses(images, targets)
            for name, value in terms.items():
                sums[name] = sums.get(name, 0.0) + share * value.detach().float()
            if last:
                values = finite(_averaged(sums, accelerator), *where)
            accelerator.backward(share * torch.stack(list(terms.values())).sum())
    return values


def _watched(
    training: Training, optimizer: Any, accelerator: Accelerator, where: tuple[int, int, int]
) -> dict[str, float]:
    """Let the watcher see the gradients and add its own; its penalty by name."""
    if training.watcher is None:
        return {}
    accelerator.unscale_gradients(optimizer)
    if accelerator.scaler is not None:
        gradients = [p.grad for p in training.net.parameters() if p.grad is not None]
        if not all(torch.isfinite(g).all() for g in gradients):
            return {}  # half precision overflowed: the scaler leaves this iteration out
    training.watcher.update(training.net)
    penalty = training.watcher.pull(training.net)
    return {} if penalty is None else finite({"penalty": penalty}, *where)


def _averaged(values: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """Over all processes."""
    if accelerator.num_processes == 1:
        return values
    return {name: accelerator.reduce(value, "mean") for name, value in values.items()}


def batches(loader: Batches, epoch: int, accelerator: Accelerator) -> Iterator[tuple[Tensor, Tensor]]:
    """The loader's batches of one epoch, on the accelerator's device."""
    sampler = getattr(loader, "sampler", None)
    if sampler is not None and hasattr(sampler, "epoch"):
        sampler.epoch = epoch
    for image, target in loader:
        yield image.to(accelerator.device, non_blocking=True), target.to(accelerator.device, non_blocking=True)


def _seen_by(teacher: Segmenter | None, image: Tensor) -> Any:
    if teacher is None:
        return None
    with torch.no_grad():
        return teacher(image)


def finite(losses: dict[str, Tensor], step: int, epoch: int, iteration: int) -> dict[str, float]:
    """The losses as numbers; FloatingPointError with the name of the first that is NaN or infinite."""
    values = dict(zip(losses, torch.stack([v.detach().float() for v in losses.values()]).tolist(), strict=True))
    for name, value in values.items():
        if not math.isfinite(value):
            raise FloatingPointError(
                f"the loss term {name!r} is {value} in step {step}, epoch {epoch}, iteration {iteration}; "
                "lower optim.lr, or use compute.precision fp32 or bf16; the last finished epoch is kept"
            )
    return values


@torch.no_grad()
def evaluate(
    net: Segmenter, loader: Iterable[tuple[Tensor, Tensor]], n_channels: int
) -> Int[Tensor, "n_channels n_channels"]:
    """One confusion matrix over the loader, int64 on the CPU: rows are targets, columns predictions."""
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    counts = torch.zeros(n_channels, n_channels, dtype=torch.int64, device=device)
    for image, target in loader:
        logits = net(image.to(device)).logits
        counts += confusion(logits.argmax(1), target.to(device), n_channels)
    net.train(training)
    return counts.cpu()
