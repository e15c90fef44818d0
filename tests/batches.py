"""Batches for methods: a net that has left its teacher, and the arguments of a method's verbs."""

import copy
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from plopkit.backward import value_of
from plopkit.methods import METHODS
from plopkit.methods.base import Batch, Method, State, StepContext, own_share
from plopkit.model.segmenter import Output, Segmenter
from plopkit.scenario import Scenario, Step

WITHOUT_WAITS = [name for name in METHODS if name not in ("prototypes", "ucd")]
"""Methods in whose iterations the host waits for nothing: one trains nothing, and the other must count its pairs."""


def terms_of(
    method: Method, out: Output, old: Output | None, target: Tensor, step: Step, prepared: Any = None, net: Any = None
) -> dict[str, Any]:
    """A method's loss terms on one batch, each as a single value."""
    terms = method.losses(Batch(out, old, target, net, StepContext(step), prepared))
    return {name: value_of(term) for name, term in terms.items()}


def prepared_by(
    method: Method,
    teacher: Segmenter | None,
    batches: Iterable[tuple[Tensor, Tensor]],
    step: Step,
    reduce: Callable[[Tensor], Tensor] = own_share,
) -> Any:
    """What a method prepares from a teacher and training batches, and from what the step before has left."""
    batches = list(batches)
    state = {} if teacher is None else state_before(method, teacher, batches, step)
    return method.prepare(StepContext(step, teacher, lambda: batches, state, reduce))


def begun(method: Method, tiny: Segmenter, scenario: Scenario) -> tuple[Segmenter, Segmenter | None, Segmenter]:
    """A method's net of step 0 in the parts of a tiny one, its teacher, and the net with which step 1 begins."""
    before = method.first_step().first_net(tiny.encoder, tiny.decoder, scenario)
    step = scenario.steps[1]
    return before, method.teacher(before, step), method.begin_step(before, step)


def state_before(method: Method, net: Segmenter, batches: Iterable[tuple[Tensor, Tensor]], step: Step) -> State:
    """What a method's `end_step` leaves for a step, from images whose old labels are those that the net predicts."""
    before = Step(0, step.protocol, step.old, (), step.new)
    with torch.no_grad():
        seen = [(image, net(image).logits.argmax(1)) for image, _ in batches]
    return method.end_step(copy.deepcopy(net), StepContext(before, batches=lambda: seen))[1]


def later_step(n_old: int, n_new: int) -> Step:
    """Step 1 of the overlap protocol, whose labels are its channels."""
    labels = tuple(range(n_old + n_new))
    return Step(1, "overlap", labels[n_old:], labels[:n_old], ())


class Case(NamedTuple):
    """A net that has begun to differ from its teacher, and a batch with background, new channels and ignored pixels."""

    teacher: Segmenter
    net: Segmenter
    image: Tensor
    target: Tensor
    step: Step

    def outputs(self) -> tuple[Output, Output]:
        """The net's output and the teacher's, which has no gradient."""
        with torch.no_grad():
            old = self.teacher(self.image)
        return self.net(self.image), old
