"""A blank batch through a method before anything is trained: a mismatch is found now, not after hours of step 0."""

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor

from plopkit.backward import check_divisible
from plopkit.compute import num_micro_batches
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.methods.base import Batch, Method, State, StepContext, Term
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step
from plopkit.settings import Settings
from plopkit.support.seeding import seeded
from plopkit.trainer import teacher_output


def dry_run(settings: Settings, method: Method, net: Segmenter, data: ScenarioData, accelerator: Accelerator) -> None:
    """Check that every step has a batch, and pass a blank one through the end of step 0 and through a whole later step.

    Args:
        settings: settings of the run.
        method: method of the run.
        net: net of step 0, on its device; its norms have seen a blank batch afterwards.
        data: images of the run.
        accelerator: accelerator of the run.

    Raises:
        ValueError: names the step, or the settings to change.
    """
    first, step = data.scenario.steps[0], data.scenario.steps[:2][-1]
    for each in data.scenario.steps:
        data.train_loader(each, method.images(each, data.presence[0], {}))
    size, batch = settings.data.size, settings.optim.batch
    images = torch.zeros(min(2, batch), 3, size, size, device=accelerator.device)
    target = torch.full((len(images), size, size), first.n_seen - 1, device=accelerator.device)
    try:
        with seeded(settings.seed), accelerator.autocast():
            selection = method.images(first, data.presence[0], {})
            context = StepContext(first, batches=lambda: [(images, target)], selection=selection)
            terms = method.first_step().losses(Batch(net(images), None, target, net, context))
            if step.index:
                net, state = method.end_step(net, context)
                terms = _later_step(method, net, step, images, target + len(step.new), state, data)
            check_divisible(terms, num_micro_batches(batch, settings.compute.micro_batch))
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            f"a batch of {batch} images of {size} pixels does not go through {method.title}: {error}; change "
            "data.size, optim.batch, model.output_stride or a hyper-parameter"
        ) from error


def _later_step(
    method: Method, before: Segmenter, step: Step, images: Tensor, target: Tensor, state: State, data: ScenarioData
) -> Mapping[str, Term]:
    """The loss terms of the blank batch in a later step."""
    teacher, net = method.teacher(before, step), method.begin_step(before, step)
    selection = method.images(step, data.presence[0], state)
    context = StepContext(step, teacher, lambda: [(images, target)], state, selection=selection, before=before.frozen)
    prepared = method.prepare(context)
    terms = method.losses(Batch(net(images), teacher_output(teacher, images), target, net, context, prepared))
    method.end_step(net, context)
    return terms
