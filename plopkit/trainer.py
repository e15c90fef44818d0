"""The training loop: `fit` trains one step and yields a Tick each iteration; `evaluate` counts confusions."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader

from plopkit.backward import backward
from plopkit.compute import compiled, images_per_process
from plopkit.datasets.steps import EpochSampler
from plopkit.datasets.transforms import to_device
from plopkit.methods.base import Batch, Method, Regularizer, Schedule, StepContext, Term
from plopkit.metrics import confusion
from plopkit.model.segmenter import Output, Segmenter
from plopkit.optimizer import make_optimizer, poly, set_lr
from plopkit.scenario import Step
from plopkit.settings import Optim
from plopkit.support.moved import renamed
from plopkit.support.prediction import predicted_channel
from plopkit.ticks import Place, Reading, Tick, Unread

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


Loader = DataLoader | Sequence[tuple[Tensor, Tensor]]
"""Images (B, 3, H, W) and targets (B, H, W), batch by batch; `len()` is the number of batches. Images are 8-bit colours
or floating-point numbers that are ready for the net. A `DataLoader` with an `EpochSampler` shuffles by epoch."""


class Training:
    """What changes while a step is trained: net, optimiser state, regularizer, finished epochs.

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
        self.epochs, self.lr = Schedule.of_settings(optim, step) if method is None else method.schedule(optim, step)
        self.power = optim.power
        groups = None if method is None else method.parameter_groups(net, step)
        self.optimizer = make_optimizer(net, optim, self.lr, groups)
        self.epoch = 0

    def state(self) -> dict[str, Any]:
        """All that a step interrupted now needs to resume with the same numbers; for `torch.save`."""
        regularizer = {} if self.regularizer is None else {"regularizer": self.regularizer.state()}
        return regularizer | {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "epoch": self.epoch,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from what `state` returned."""
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.epoch = state["epoch"]
        if self.regularizer is not None:
            self.regularizer.restore(state["regularizer"])


def fit(
    training: Training,
    loader: Loader,
    method: Method,
    step: Step,
    accelerator: Accelerator,
    teacher: Segmenter | None = None,
    prepared: Any = None,
    micro_batch: int | None = None,
    context: StepContext | None = None,
    compile: str = "no",
) -> Iterator[Tick]:
    """Train one step from ``training.epoch`` to the end; yields a Tick each iteration.

    On a GPU a tick comes while the next iteration is under way, except the last of an epoch. After a tick with
    ``epoch_done`` the training's `state()` may be saved; restored, training continues with the same numbers.

    Args:
        training: net, optimiser and progress; changed in place.
        loader: the step's batches.
        method: method whose losses are minimised.
        step: the step.
        accelerator: device, precision and processes.
        teacher: the frozen net of the step before, or None.
        prepared: what `Method.prepare` returned.
        micro_batch: largest number of images that go through the net at once; gradients add up to the batch's. None:
            the whole batch.
        context: what the losses see as ``batch.context``; made of step and teacher where left out.
        compile: as `Compute.compile`, for net and teacher.

    Raises:
        FloatingPointError: for the first loss term that is not finite.
    """
    net, optimizer = accelerator.prepare(training.net, training.optimizer)
    context = context or StepContext(step, teacher)
    net, teacher = compiled(net, compile), teacher and compiled(teacher, compile)
    n_iterations = training.epochs * len(loader)
    sizes: list[int] = []

    def losses(image: Tensor, target: Tensor) -> Mapping[str, Term]:
        if compile == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # what the last replay gave is no longer needed
        with accelerator.autocast():
            old = teacher_output(teacher, image)  # before the net's maps are kept: the teacher's are gone by then
            out = net(image)
        return method.losses(Batch(out, old, target, training.net, context, prepared))

    net.train()
    unread: Unread | None = None  # of a device that queues its work: its losses are read an iteration later
    for epoch in range(training.epoch, training.epochs):
        began = time.perf_counter()
        for index, (image, target) in enumerate(batches(loader, epoch, accelerator)):
            iteration = epoch * len(loader) + index
            lr = poly(training.lr, iteration, n_iterations, training.power)
            set_lr(optimizer, lr)
            if not sizes or accelerator.num_processes == 1:  # several processes' batches are alike; asking costs a wait
                sizes = images_per_process(len(image), accelerator)
            values = backward(losses, net, accelerator, image, target, sizes, micro_batch)
            values |= regularize(training, optimizer, accelerator)
            reading = Reading(values, Place(step.index, epoch, iteration))
            if not reading.queued:
                reading.numbers  # noqa: B018  (refuses NaN before its gradients are used)
            optimizer.step()
            optimizer.zero_grad()
            if unread is not None:
                yield unread.read()
            epoch_done = index == len(loader) - 1
            training.epoch = epoch + epoch_done
            seconds = time.perf_counter() - began
            tick = Tick(step.index, epoch, training.epochs, iteration, n_iterations, {}, lr, seconds, epoch_done)
            unread = Unread(tick, reading)
            if epoch_done or not reading.queued:
                yield unread.read()
                unread = None
            began = time.perf_counter()


def regularize(training: Training, optimizer: Any, accelerator: Accelerator) -> dict[str, Tensor]:
    """Pass the gradients to the regularizer, then add its penalty's gradient; returns the penalty by name."""
    if training.regularizer is None:
        return {}
    accelerator.unscale_gradients(optimizer)
    if accelerator.scaler is not None:
        gradients = [p.grad for p in training.net.parameters() if p.grad is not None]
        if not torch.stack([g.isfinite().all() for g in gradients]).all():  # waits for the device, in fp16 only
            return {}  # half precision overflowed: the scaler skips this iteration
    training.regularizer.update(training.net)
    penalty = training.regularizer.add_penalty_gradient(training.net)
    return {} if penalty is None else {"penalty": penalty}


def batches(loader: Loader, epoch: int, accelerator: Accelerator) -> Iterator[tuple[Tensor, Tensor]]:
    """The loader's batches of one epoch, on the accelerator's device: normalised images and int64 targets."""
    if isinstance(loader, DataLoader) and isinstance(loader.sampler, EpochSampler):
        loader.sampler.epoch = epoch
    for image, target in loader:
        yield to_device(image, target, accelerator.device)


def teacher_output(teacher: Segmenter | None, image: Tensor) -> Output | None:
    """What the teacher gives for images, without gradients; None without a teacher."""
    if teacher is None:
        return None
    with torch.no_grad():
        return teacher(image)


@torch.no_grad()
def evaluate(
    net: Segmenter,
    loader: Iterable[tuple[Tensor, Tensor]],
    n_channels: int,
    predict: Callable[[Tensor], Tensor] | None = None,
) -> Int[Tensor, "n_channels n_channels"]:
    """One confusion matrix over the loader, int64 on the CPU: rows are targets, columns predictions.

    Args:
        net: evaluated in evaluation mode; its mode is restored.
        loader: images and targets of channels.
        n_channels: channels of the net.
        predict: logits (B, C, H, W) -> channels (B, H, W), as `Method.predict`; None for the largest logit.
    """
    device = next(net.parameters()).device
    training = net.training
    net.eval()
    counts = torch.zeros(n_channels, n_channels, dtype=torch.int64, device=device)
    for batch in loader:
        image, target = to_device(*batch, device)
        logits = net(image).logits
        predicted = predicted_channel(logits) if predict is None else predict(logits)
        counts += confusion(predicted, target, n_channels)
    net.train(training)
    return counts.cpu()
