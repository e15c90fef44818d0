"""What a step adds to the memory: its images, by their annotations and, where a method wants it, by the net's eyes."""

import numpy as np
import torch
from jaxtyping import Bool

from plopkit.datasets.kept import Kept, from_state, to_state
from plopkit.datasets.remembered import budget_of, candidates, choose, in_words, joined, planned, selected
from plopkit.datasets.scenario_data import ScenarioData, eval_batch
from plopkit.datasets.steps import Selection, StepDataset, eval_loader
from plopkit.datasets.transforms import eval_transform, to_device
from plopkit.memory import shown_labels
from plopkit.methods.base import Method, State
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import Step


def training_selection(method: Method, step: Step, data: ScenarioData, state: State) -> Selection:
    """The images of a step: the method's, and those of the memory.

    Args:
        method: the method that trains the step.
        step: the step.
        data: images and settings of the run.
        state: what the step before has left.

    Raises:
        ValueError: an image of the memory is not among the training images, or is another than it was.
    """
    own, memory = method.images(step, data.presence[0], state), data.settings.memory
    kept = from_state(state) if memory.is_kept else ()
    return own + selected(kept, data, memory, step, method.memory_images) if kept else own


def remember(method: Method, step: Step, data: ScenarioData, net: Segmenter, state: State) -> State:
    """The memory after a step, as a part of the state that it leaves; empty after the last step and without a budget.

    Where the net has a say in what images show, `check_memory` could not know it. A class for which there is no room
    then costs a notice, not the training of the step.

    Args:
        method: the method of the run.
        step: the step that ends.
        data: images and settings of the run.
        net: the net that it leaves, on its device.
        state: what the step before has left.

    Raises:
        ValueError: the budget has no room for an image, or for one of each class. `check_memory` finds that before.
    """
    memory = data.settings.memory
    if not memory.is_kept or step is data.scenario.steps[-1]:
        return {}
    looks = step.index > 0 and type(method).candidate_target is not Method.candidate_target
    now = candidates(data, step, recognised_by(method, step, data, net) if looks else None)
    return to_state(choose(joined(from_state(state), now), data, memory, step, strict=not looks))


@torch.no_grad()
def recognised_by(method: Method, step: Step, data: ScenarioData, net: Segmenter) -> Bool[np.ndarray, "N n_seen"]:
    """The channels that each image of a step is taken to show, in evaluation crops, by `Method.candidate_target`."""
    s = data.settings
    images = StepDataset(data.train, Selection.protocol(step, data.presence[0]), eval_transform(s.data.size))
    device, training = next(net.parameters()).device, net.training
    net.eval()
    rows = []
    for pictures, targets in eval_loader(images, eval_batch(s), s.compute.workers):
        image, target = to_device(pictures, targets, device)
        rows.append(shown_labels(method.candidate_target(net(image), target, step), step.n_seen).cpu())
    net.train(training)
    return torch.cat(rows).numpy()


def check_memory(data: ScenarioData, n_given: int, state: State) -> list[tuple[Kept, ...]]:
    """What each step will train on, as far as annotations decide; found before anything is trained.

    Args:
        data: images and settings of the run.
        n_given: number of the first steps that are not trained.
        state: what the last of these has left; without a memory in it, their images make one.

    Returns:
        The memory before each step.

    Raises:
        ValueError: the budget is too small, or the memory of a given step cannot be used.
    """
    memory, steps = data.settings.memory, data.scenario.steps
    given = from_state(state)
    size = sum(image.size for image in given)
    if not budget_of(memory).allows(len(given), size):
        raise ValueError(
            f"the run that this one continues keeps {len(given)} images of {size / 1e6:.3g} MB, more than "
            f"{in_words(memory)}; raise it, or take an earlier step: start.step (--from-step)"
        )
    if given:
        selected(given, data, memory, steps[n_given])
    return [(), *planned(data, memory, given, n_given)]
