"""The training loop: `fit` trains one step and yields a Tick each iteration; `evaluate` counts confusions."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from jaxtyping import Int
from torch import Tensor
from torch.utils.data import DataLoader

from plopkit.backward import backward
from plopkit.compute import compiled, images_per_process, settings_decide
from plopkit.confusion import confusion
from plopkit.datasets.steps import EpochSampler
from plopkit.datasets.transforms import to_device
from plopkit.methods.base import Batch, Method, StepContext, Term
from plopkit.model.segmenter import Output, Segmenter
from plopkit.optimizer import poly, set_lr
from plopkit.scenario import Step
from plopkit.support.moved import renamed
from plopkit.support.prediction import predicted_channel
from plopkit.support.seeding import all_seeded
from plopkit.ticks import Place, Reading, Tick
from plopkit.training import Training

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


Loader = DataLoader | Sequence[tuple[Tensor, Tensor]]
"""Images (B, 3, H, W) and targets (B, H, W), batch by batch; `len()` is the number of batches. Images are 8-bit colours
or floating-point numbers that are ready for the net. A `DataLoader` with an `EpochSampler` shuffles by epoch."""


FIT = 2
"""Number of the random numbers drawn in `fit`, among those of a step."""


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
    seed: int | None = None,
) -> Iterator[Tick]:
    """Train one step from ``training.epoch`` and ``training.batch`` to the end; yields a Tick each iteration.

    On a GPU a tick comes while the next iteration is under way, except the last of an epoch; ``training.unread`` holds
    those that are still to come. After any iteration the training's `state()` may be saved; restored, training
    continues with the same numbers.

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
        seed: for random numbers in net and losses, such as dropout, which are drawn again in each iteration from this
            seed, the step, the iteration and the process. None: they follow the generators' states.

    Raises:
        FloatingPointError: for the first loss term that is not finite.
    """
    with settings_decide():
        net, optimizer = accelerator.prepare(training.net, training.optimizer)
    context = context or StepContext(step, teacher)
    net, teacher = compiled(net, compile), teacher and compiled(teacher, compile)
    epochs = training.schedule.epochs_of(len(loader))
    n_iterations = epochs * len(loader)
    sizes: list[int] = []

    def losses(image: Tensor, target: Tensor) -> Mapping[str, Term]:
        if compile == "graphs":
            torch.compiler.cudagraph_mark_step_begin()  # what the last replay gave is no longer needed
        with accelerator.autocast():
            old = teacher_output(teacher, image)  # before the net's maps are kept: the teacher's are gone by then
            out = net(image)
        return method.losses(Batch(out, old, target, training.net, context, prepared))

    def drawing(iteration: int) -> contextlib.AbstractContextManager[None]:
        if seed is None:
            return contextlib.nullcontext()
        return all_seeded(accelerator.device, seed, step.index, FIT, iteration, accelerator.process_index)

    net.train()
    training.begin()
    for epoch in range(training.epoch, epochs):
        began = time.perf_counter()
        first = training.batch
        for index, (image, target) in enumerate(batches(loader, epoch, accelerator, first), first):
            iteration = epoch * len(loader) + index
            lr = poly(training.schedule.lr, iteration, n_iterations, training.power, training.warmup)
            if not sizes or accelerator.num_processes == 1:  # several processes' batches are alike; asking costs a wait
                sizes = images_per_process(len(image), accelerator)
            training.begin_iteration()
            with drawing(iteration):
                values = backward(losses, net, accelerator, image, target, sizes, micro_batch)
                with training.changing():
                    set_lr(optimizer, lr, training.schedule.floor)
                    values |= regularize(training, optimizer, accelerator)
                    reading = Reading(values, Place(step.index, epoch, iteration))
                    if not reading.queued:
                        reading.numbers  # noqa: B018  (refuses NaN before its gradients are used)
                    optimizer.step()
                    optimizer.zero_grad()
                    epoch_done = index == len(loader) - 1
                    seconds = time.perf_counter() - began
                    tick = Tick(step.index, epoch, epochs, iteration, n_iterations, {}, lr, seconds, epoch_done)
                    training.count(tick, reading)
            # The losses of a device that queues its work are read an iteration later.
            while len(training.unread) > (reading.queued and not epoch_done):
                yield training.unread[0].read()
                del training.unread[0]  # only now: until the caller has drawn it, the tick is unread
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


def batches(loader: Loader, epoch: int, accelerator: Accelerator, first: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """The loader's batches of one epoch, on the accelerator's device: normalised images and int64 targets.

    Args:
        loader: the batches of the step.
        epoch: number of the epoch.
        accelerator: its device is that of the batches.
        first: number of the batch to begin with. An `EpochSampler` does not load those before it.
    """
    remaining: Iterable[tuple[Tensor, Tensor]] = loader
    if isinstance(loader, DataLoader) and isinstance(loader.sampler, EpochSampler):
        loader.sampler.epoch, loader.sampler.first = epoch, first
    elif first:
        remaining = itertools.islice(loader, first, None)
    for image, target in remaining:
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
