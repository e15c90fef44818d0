"""A blank batch through a method before anything is trained: a mismatch is found now, not after hours of step 0."""

from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from torch import Tensor

from plopkit.backward import check_divisible, check_terms
from plopkit.compute import num_micro_batches
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.methods.base import Batch, Method, State, StepContext, joined_state, trainer_of
from plopkit.model.segmenter import Output, Segmenter
from plopkit.scenario import Step
from plopkit.settings import Settings
from plopkit.support.seeding import seeded
from plopkit.trainer import Training, teacher_output


def dry_run(settings: Settings, method: Method, net: Segmenter, data: ScenarioData, accelerator: Accelerator) -> None:
    """Check that every step has a batch, and pass a blank one through all verbs of step 0 and of a later step.

    Args:
        settings: settings of the run.
        method: method of the run.
        net: net of step 0, on its device; it is changed.
        data: images of the run.
        accelerator: accelerator of the run.

    Raises:
        ValueError: names the step, or the settings to change.
    """
    first, *later = data.scenario.steps[:2]
    for each in data.scenario.steps:
        data.train_loader(each, trainer_of(method, each).images(each, data.presence[0], {}))
    size, batch = settings.data.size, settings.optim.batch
    images = torch.zeros(min(2, batch), 3, size, size, device=accelerator.device)
    rehearsal = _Rehearsal(settings, method, images, data, accelerator)
    try:
        with seeded(settings.seed), accelerator.autocast():
            net, state = rehearsal.step(first, net, None, {})
            if later:
                rehearsal.step(later[0], method.begin_step(net, later[0]), net, state)
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"a batch of {batch} images of {size} pixels does not go through {method.title}: {error}; change "
            "data.size, optim.batch, model.output_stride or a hyper-parameter"
        ) from error


class _Rehearsal(NamedTuple):
    """The verbs of a step in the order of a run, each once."""

    settings: Settings
    method: Method
    images: Tensor
    data: ScenarioData
    accelerator: Accelerator

    def step(self, step: Step, net: Segmenter, before: Segmenter | None, state: State) -> tuple[Segmenter, State]:
        """The net and the state that a step leaves, as its checkpoint gives them back."""
        method, images = trainer_of(self.method, step), self.images
        shape = (len(images), *images.shape[2:])
        target = torch.full(shape, step.n_seen - 1, device=images.device)
        teacher = None if before is None else method.teacher(before, step)
        regularizer = method.regularizer(net, state)
        Training(net, self.settings.optim, step, method, regularizer)
        context = StepContext(
            step,
            teacher,
            lambda: [(images, target)],
            state,
            selection=method.images(step, self.data.presence[0], state),
            before=before and before.frozen,
        )
        prepared = method.prepare(context) if step.index else None
        self._check_losses(net, method, target, context, prepared)
        gathered = {} if regularizer is None else regularizer.final_state(net)
        net, ended = self.method.end_step(net, context)
        net = net.rebuilt().to(images.device)
        with torch.no_grad():
            out = net.eval()(images)
            _check_channels(out, step, "ends")
            predicted = self.method.predict(out.logits)
        if predicted.shape != target.shape:
            raise ValueError(f"predict gives {tuple(predicted.shape)} for images of {shape}, not a channel for a pixel")
        return net.train(), joined_state(ended, gathered)

    def _check_losses(
        self, net: Segmenter, method: Method, target: Tensor, context: StepContext, prepared: Any
    ) -> None:
        """What is kept for the gradient is gone when this returns: a check takes less memory than an iteration."""
        old = teacher_output(context.teacher, self.images)
        out = net(self.images)
        _check_channels(out, context.step, "begins" if context.step.index else "is built")
        terms = method.losses(Batch(out, old, target, net, context, prepared))
        check_terms(terms)
        parts = num_micro_batches(self.settings.optim.batch, self.settings.compute.micro_batch)
        check_divisible(terms, parts, self.accelerator.num_processes)


def _check_channels(out: Output, step: Step, when: str) -> None:
    """ValueError where a net does not have the channels of a step."""
    if (found := out.logits.shape[1]) != step.n_seen:
        raise ValueError(
            f"step {step.index} {when} with a net of {found} channels, and has {step.n_seen}, the background and the "
            "classes seen so far"
        )
