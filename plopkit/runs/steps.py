"""The steps of a run: where each is kept, and how its training begins."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from accelerate import Accelerator
from torch import Tensor

from plopkit.compute import as_in_training, summed
from plopkit.datasets.kept import KEY, Kept, to_state
from plopkit.datasets.remembered import planned
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.methods.base import Batches, Method, State, StepContext, joined_state, trainer_of
from plopkit.methods.remembering import remember, training_selection
from plopkit.model.folded import folded
from plopkit.model.layout import laid_out
from plopkit.model.segmenter import Segmenter, make_decoder, make_encoder
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.folder import RunFolder
from plopkit.runs.given import Given
from plopkit.runs.progress import Progress
from plopkit.runs.step_0 import shared_step_0
from plopkit.runs.time_left import Work
from plopkit.scenario import Scenario, Step
from plopkit.settings import Settings
from plopkit.support.seals import DamagedError
from plopkit.support.seeding import seeded
from plopkit.ticks import Tick
from plopkit.trainer import batches, fit
from plopkit.training import Training

PREPARE = 1
"""Number of the random numbers that `Method.prepare` draws, among those of a step (`trainer.FIT` is 2)."""
END_STEP = 3
"""That of `Method.end_step` and of the choice of a memory."""


class Begun(NamedTuple):
    """A step about to be trained."""

    training: Training
    ticks: Iterator[Tick]
    """drawing one runs one iteration"""
    context: StepContext


@dataclass(frozen=True)
class Steps:
    """The steps of one run, and all that they are trained from."""

    settings: Settings
    scenario: Scenario
    method: Method
    folder: RunFolder
    data: ScenarioData
    given: Given | None = None
    """the first steps, where they are not trained"""

    def store(self, step: Step) -> StepStore:
        """Where a step is kept."""
        return StepStore(self.folder.checkpoints, step.index)

    def shared_store(self, step: Step) -> StepStore:
        """Where a step is trained: step 0 in a folder shared by all runs whose step 0 is the same.

        That is every method with the same `Method.first_step`, and every task that begins with the same classes, as
        long as the source of what trains it is the same.
        """
        if step.index:
            return self.store(step)
        return shared_step_0(self.settings, self.scenario, self.method, self.data.train, self.data.train_fingerprint)

    def names(self, step: Step) -> tuple[str, ...]:
        """The class of each channel after a step."""
        return tuple(self.data.val.classes[label] for label in step.seen)

    def identity_before(self, step: Step) -> str | None:
        """The `identity` of the checkpoint that a step is trained from; None for step 0."""
        return self.store(self.scenario.steps[step.index - 1]).identity() if step.index else None

    def net(self, index: int) -> Segmenter:
        """The net as it is after step ``index``, from the run's checkpoint."""
        return laid_out(self.folder.net(index))

    def begin(self, step: Step, accelerator: Accelerator, progress: Progress) -> Begun:
        """A step about to be trained, from the checkpoint of the step before."""
        s, method = self.settings, trainer_of(self.method, step)
        state: State = self._state_before(step) if step.index else {}
        teacher = None
        if step.index == 0:
            net = first_net(s, self.scenario, method)
        else:
            before = self.net(step.index - 1)
            teacher = method.teacher(before, step)
            with seeded(s.seed, step.index):
                net = later_net(s, method, before, step)
        net, teacher = net.to(accelerator.device), teacher and folded(teacher.to(accelerator.device))
        if accelerator.num_processes > 1 and accelerator.device.type == "cuda":
            net.encoder.synchronise()
        training = Training(net, s.optim, step, method, method.regularizer(net, state))
        context, loader = self.context(method, step, accelerator, teacher, state, progress)
        with as_in_training(accelerator, s.seed, step.index, PREPARE):
            prepared = method.prepare(context) if step.index else None
        ticks = fit(
            training,
            loader,
            method,
            step,
            accelerator,
            teacher,
            prepared,
            s.compute.micro_batch,
            context,
            s.compute.compile,
            s.seed,
        )
        return Begun(training, ticks, context)

    def end(
        self, step: Step, net: Segmenter, accelerator: Accelerator, context: StepContext, gathered: State
    ) -> tuple[Segmenter, State]:
        """The net that a step leaves, and the state for the next: the method's, the regularizer's and the memory."""
        with as_in_training(accelerator, self.settings.seed, step.index, END_STEP):
            net, ended = self.method.end_step(net, context)
            kept = remember(self.method, step, self.data, net, context.state)
        return net, joined_state({**ended, **kept}, gathered)

    def end_of_given(
        self, step: Step, net: Segmenter, accelerator: Accelerator, progress: Progress
    ) -> tuple[Segmenter, State]:
        """The net and the method's state that the last given step would have left, made from its images."""
        context, _ = self.context(trainer_of(self.method, step), step, accelerator, None, {}, progress)
        with as_in_training(accelerator, self.settings.seed, step.index, END_STEP):
            return self.method.end_step(net.to(accelerator.device), context)

    def memory_of_given(self, step: Step, state: State) -> State:
        """The memory after the last step that is given, from the images of these steps, where it has left none."""
        assert self.given is not None
        if not self.settings.memory.is_kept or KEY in state or step.index < len(self.given) - 1:
            return {}
        return to_state(planned(self.data, self.settings.memory, n_given=len(self.given))[step.index])

    def _state_before(self, step: Step) -> State:
        """The method's state after the step before."""
        store = self.store(self.scenario.steps[step.index - 1])
        state = store.state()
        # A checkpoint of plopkit 0.1 does not say whether there is a state.
        if not state and store.recipe() is None and self.method.regularizer(self.net(step.index - 1), {}) is not None:
            raise DamagedError(
                store.earlier_state_file,
                f"missing, and {self.method.title} needs it",
                f"put it back, or delete {store.checkpoint.name}: then step {store.index} is trained again",
            )
        return state

    def context(
        self,
        method: Method,
        step: Step,
        accelerator: Accelerator,
        teacher: Segmenter | None,
        state: State,
        progress: Progress,
    ) -> tuple[StepContext, Any]:
        """What a method knows of a step, and the loader of the step's batches."""
        selection = training_selection(method, step, self.data, state)
        shard = (accelerator.process_index, accelerator.num_processes)
        loader = self.data.train_loader(step, selection, shard)

        def one_epoch() -> Batches:
            return progress(batches(loader, 0, accelerator), f"step {step.index}: a pass over the images", len(loader))

        def reduce(counts: Tensor) -> Tensor:
            return summed(counts, accelerator)

        def before() -> Segmenter:
            return self.net(step.index - 1).eval().to(accelerator.device)

        shows_old = KEY in state and self.settings.memory.shows_old
        last = before if step.index else None
        context = StepContext(step, teacher, one_epoch, state, reduce, selection, last, shows_old)
        return context, loader


def work_left(steps: Steps, memory: Sequence[Sequence[Kept]] = ()) -> list[Work]:
    """What is left of each step that has no checkpoint and is not given, as the settings plan it.

    Args:
        steps: the run's steps.
        memory: the memory before each step, as `check_memory` plans it.
    """
    work = []
    for step in steps.scenario.steps[0 if steps.given is None else len(steps.given) :]:
        if steps.store(step).checkpoint.is_file() or steps.shared_store(step).checkpoint.is_file():
            continue
        method = trainer_of(steps.method, step)
        state = to_state(memory[step.index]) if memory else {}
        selection = training_selection(method, step, steps.data, state)
        n_batches = len(steps.data.train_loader(step, selection))
        epochs, batches_done = steps.shared_store(step).training.last_place()
        n_iterations = n_batches * method.schedule(steps.settings.optim, step).epochs_of(n_batches)
        done = epochs * n_batches + batches_done
        work.append(Work(step.index, n_iterations - done, len(steps.data.eval_loader(step))))
    return work


def first_net(settings: Settings, scenario: Scenario, method: Method) -> Segmenter:
    """The net of step 0, its new weights drawn from the seed."""
    with seeded(settings.seed):
        encoder = make_encoder(settings.model)
        net = method.first_net(encoder, make_decoder(settings.model, encoder), scenario)
    return laid_out(_frozen_as_set(settings, net))


def later_net(settings: Settings, method: Method, before: Segmenter, step: Step) -> Segmenter:
    """The net with which a later step begins."""
    return _frozen_as_set(settings, method.begin_step(before, step))


def _frozen_as_set(settings: Settings, net: Segmenter) -> Segmenter:
    """The net, its encoder frozen with its norms' statistics if the settings say so."""
    return net.freeze("encoder") if settings.model.frozen else net
