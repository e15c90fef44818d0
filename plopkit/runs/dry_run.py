"""A blank batch through a method before anything is trained: a mismatch, or too little memory, is found now.

The batch is as large as the run's, so that a step that does not fit into memory is not begun.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from plopkit.backward import backward, check_divisible, check_terms
from plopkit.compute import as_in_training, num_micro_batches
from plopkit.datasets.scenario_data import ScenarioData, eval_batch
from plopkit.methods.base import Batch, Method, State, StepContext, Term, joined_state, trainer_of
from plopkit.model.resnet import BLOCKS
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.transformers import SizeError
from plopkit.optimizer import set_lr
from plopkit.runs.machine import advice_on, resources_explained
from plopkit.runs.steps import later_net
from plopkit.runs.time_left import Costs
from plopkit.scenario import Step
from plopkit.settings import Settings
from plopkit.support.printable import one_line
from plopkit.support.seeding import seeded
from plopkit.trainer import teacher_output
from plopkit.training import Training


def dry_run(
    settings: Settings,
    method: Method,
    net: Segmenter,
    data: ScenarioData,
    accelerator: Accelerator,
    given: tuple[int, State] = (0, {}),
) -> Costs:
    """Check that every step has a batch, and pass a blank one through all verbs of step 0 and of a later step.

    Returns:
        How long that took.

    Args:
        settings: settings of the run.
        method: method of the run.
        net: net of step 0, or of the last given step, on its device; it is changed.
        data: images of the run.
        accelerator: accelerator of the run.
        given: number of the first steps that are not trained, and the method's state after them.

    Raises:
        ValueError: names the step, or the settings to change.
    """
    n_given, state = given
    trained = data.scenario.steps[n_given:]
    later = trained[0] if n_given else next(iter(trained[1:]), None)
    for each in trained:
        data.train_loader(each, trainer_of(method, each).images(each, data.presence[0], {}))
    size, batch = settings.data.size, settings.optim.batch
    with resources_explained(settings):
        images = torch.zeros(largest_share(batch, accelerator.num_processes), 3, size, size, device=accelerator.device)
        rehearsal = _Rehearsal(settings, method, images, data, accelerator, [], [])
        with seeded(settings.seed):
            _check_encoder(settings, net, images[:2])
        try:
            with seeded(settings.seed):
                if not n_given:
                    net, state = rehearsal.step(trained[0], net, None, {})
                if later is not None:
                    rehearsal.step(later, later_net(settings, method, net, later), net, state)
                return rehearsal.costs(n_given)
        except (ValueError, RuntimeError) as error:
            if advice_on(error) is not None:
                raise
            raise ValueError(
                f"a batch of {batch} images of {size} pixels does not go through {method.title}: {error}; change "
                "data.size, optim.batch, model.output_stride or a hyper-parameter"
            ) from error


def largest_share(batch: int, processes: int) -> int:
    """The number of images of a batch that the process with the most of them has."""
    return -(-batch // processes)


def _check_encoder(settings: Settings, net: Segmenter, images: Tensor) -> None:
    """ValueError where the encoder refuses images of this size: each of timm's does so with another type of error."""
    if net.encoder.name in BLOCKS:
        return
    try:
        with torch.no_grad():
            net.encoder(images)
    except SizeError as error:
        raise ValueError(f"{error}; give data.size {error.made_for[0]}, or choose another model.encoder") from error
    except Exception as error:
        if advice_on(error) is not None:
            raise
        raise ValueError(
            f"the encoder {net.encoder.name!r} does not take images of {settings.data.size} pixels "
            f"({type(error).__name__}: {one_line(error, 300)}); change data.size, or choose another model.encoder"
        ) from error


class _Rehearsal(NamedTuple):
    """The verbs of a step in the order of a run, each once."""

    settings: Settings
    method: Method
    images: Tensor
    data: ScenarioData
    accelerator: Accelerator
    training_seconds: list[float]
    """of an iteration of each step"""
    evaluation_seconds: list[float]
    """of a batch of validation images, after each step"""

    def costs(self, n_given: int) -> Costs:
        """The seconds of the one or two steps; of step 0 none where it is given."""
        first, later = [*([0.0] if n_given else []), *self.training_seconds, 0.0, 0.0][:2]
        return Costs(first, later, [0.0, *self.evaluation_seconds][-1])

    def step(self, step: Step, net: Segmenter, before: Segmenter | None, state: State) -> tuple[Segmenter, State]:
        """The net and the state that a step leaves, as its checkpoint gives them back."""
        method, images = trainer_of(self.method, step), self.images
        shape = (len(images), *images.shape[2:])
        target = torch.full(shape, step.n_seen - 1, device=images.device)
        teacher = None if before is None else method.teacher(before, step)
        regularizer = method.regularizer(net, state)
        training = Training(net, self.settings.optim, step, method, regularizer)
        context = StepContext(
            step,
            teacher,
            lambda: [(images, target)],
            state,
            selection=method.images(step, self.data.presence[0], state),
            before=before and before.frozen,
            shows_old=step.index > 0 and self.settings.memory.shows_old,
        )
        with as_in_training(self.accelerator, self.settings.seed):
            prepared = method.prepare(context) if step.index else None
        self._train(training, method, target, context, prepared)
        gathered = {} if regularizer is None else regularizer.final_state(net)
        with as_in_training(self.accelerator, self.settings.seed):
            net, ended = self.method.end_step(net, context)
        net = net.rebuilt().to(images.device)
        few = images[:2]
        with torch.no_grad():
            out = net.eval()(few)
            _check_channels(out, step, "ends")
            predicted = self.method.predict(out.logits)
            del out
            many = torch.zeros(eval_batch(self.settings), *images.shape[1:], device=images.device)
            seconds = seconds_of(lambda: self.method.predict(net(many).logits), images.device)  # also for its memory
            self.evaluation_seconds.append(seconds)
        if predicted.shape != target[:2].shape:
            shown = (len(few), *shape[1:])
            raise ValueError(f"predict gives {tuple(predicted.shape)} for images of {shown}, not a channel for a pixel")
        return net.train(), joined_state(ended, gathered)

    def _train(self, training: Training, method: Method, target: Tensor, context: StepContext, prepared: Any) -> None:
        """An iteration that changes no weight; what is kept for the gradient is gone when this returns."""
        micro_batch, n_processes = self.settings.compute.micro_batch, self.accelerator.num_processes
        net, parts = training.net, num_micro_batches(len(self.images), micro_batch)
        check_divided = partial(check_divisible, parts=parts, processes=n_processes)

        def losses(images: Tensor, targets: Tensor) -> Mapping[str, Term]:
            with self.accelerator.autocast():
                old = teacher_output(context.teacher, images)
                out = net(images)
            _check_channels(out, context.step, "begins" if context.step.index else "is built")
            terms = method.losses(Batch(out, old, targets, net, context, prepared))
            check_terms(terms)
            check_divided(terms)
            return terms

        shown = len(self.images) if parts == 1 else 2 * (micro_batch or 0)  # more parts take time, and no more memory
        images, targets = self.images[:shown], target[:shown]
        set_lr(training.optimizer, 0.0)

        def iteration() -> None:
            backward(losses, net, self.accelerator, images, targets, [len(images)] * n_processes, micro_batch)
            training.optimizer.step()
            training.optimizer.zero_grad()

        self.training_seconds.append(seconds_of(iteration, images.device) * len(self.images) / shown)


def seconds_of(do: Callable[[], object], device: torch.device) -> float:
    """The seconds that something takes. A GPU does it twice, as it chooses its kernels at the first time."""
    seconds = 0.0
    for _ in range(1 if device.type == "cpu" else 2):
        began = time.perf_counter()
        do()
        if device.type != "cpu":
            torch.accelerator.synchronize(device)
        seconds = time.perf_counter() - began
    return seconds


def _check_channels(out: Output, step: Step, when: str) -> None:
    """ValueError where a net does not have the channels of a step."""
    if (found := out.logits.shape[1]) != step.n_seen:
        raise ValueError(
            f"step {step.index} {when} with a net of {found} channels, and has {step.n_seen}, the background and the "
            "classes seen so far"
        )
