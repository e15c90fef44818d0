"""The first steps of a run where they are given: their nets, the method's state after them, and how they are kept.

Whether a method can go on from a net is asked of its verbs: what `end_step` and the regularizer of the step leave is
what the next step needs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from plopkit.datasets.scenario_data import ScenarioData
from plopkit.methods.base import Method, State, StepContext, joined_state, trainer_of
from plopkit.model.decoders import settings_of_decoder
from plopkit.model.layout import laid_out
from plopkit.model.segmenter import Segmenter
from plopkit.model.sigmoid import SigmoidClassifier
from plopkit.model.unknown import Heads
from plopkit.runs.checkpoints import StepStore
from plopkit.runs.folder import RunFolder
from plopkit.runs.start import Found, GivenFile, find_start
from plopkit.runs.step_file import StepFile, is_of_a_run, read_net, reorder
from plopkit.runs.step_files import save_ticks
from plopkit.scenario import Scenario, Step
from plopkit.settings import Model, Settings
from plopkit.support.bars import notice
from plopkit.support.files import write_bytes
from plopkit.support.seals import DamagedError
from plopkit.support.torch_files import read_metadata

BINARY = (SigmoidClassifier, Heads)
"""Classifiers whose channels are no softmax, of DKD, STAR and SSUL."""


@dataclass(frozen=True)
class Given:
    """The first steps of a run, which are not trained. Its length is their number.

    Args:
        found: their files.
        settings: settings of the run.
        scenario: scenario of the run.
        method: method of the run.
    """

    found: Found
    settings: Settings
    scenario: Scenario
    method: Method

    def __len__(self) -> int:
        return len(self.found.files)

    @property
    def last(self) -> Step:
        """The last step that is given."""
        return self.scenario.steps[len(self) - 1]

    def net(self, index: int) -> Segmenter:
        """The net after a step, its channels in the scenario's order.

        Raises:
            FileNotFoundError: there is no such checkpoint.
            ValueError: it cannot be read, or has another number of channels.
        """
        file, step = self.found.files[index], self.scenario.steps[index]
        net = laid_out(read_net(file.path, self.settings.model))
        if (found := sum(net.classes)) != len(file.labels):
            listed = f", and so has {self.settings.start.classes}" if self.settings.start.classes else ""
            raise ValueError(
                f"{file.path}: has {found} channels, but step {index} of {self.scenario} has {step.n_seen}{listed}, "
                "the background among them; name a checkpoint of that step, or the task that it belongs to"
            )
        order = [file.labels.index(label) for label in step.seen]
        blocks = net.classes if index else (sum(net.classes),)
        if order != list(range(len(order))) or blocks != net.classes:
            reorder(net, order, blocks, file.path)
        return net

    def state(self, index: int) -> State:
        """The method's state after a step, as far as it is there; that of channels in another order is of no use."""
        file = self.found.files[index]
        if not is_of_a_run(file.path) or file.labels != self.scenario.steps[index].seen:
            return {}
        store = StepFile(file.path.parent, index, file.path)
        if not (store.state_file.is_file() or store.earlier_state_file.is_file()):
            return {}
        try:
            return store.state()
        except DamagedError as error:
            raise ValueError(f"{error.path}: {error.problem}; name another checkpoint") from error

    @cached_property
    def lacks_state(self) -> bool:
        """Whether what `Method.end_step` leaves after the last given step has to be computed from its images."""
        return not self._ended.keys() <= self.state(len(self) - 1).keys()

    def check(self, data: ScenarioData) -> tuple[Segmenter, State]:
        """Check that the method can go on from here.

        Returns:
            The net of the last given step, and a state of the shapes that it will have.

        Raises:
            ValueError: it cannot; names the method and what it lacks.
        """
        step, path = self.last, self.found.files[-1].path
        for index in range(len(self)):
            net = self.net(index)
        who = f"{self.method.title} ({self.settings.method}) cannot go on from {path}"
        own = self.state(step.index)
        remedy = f"name a run of {self.settings.method} with start.checkpoint (--from), or another method"
        regularizer = trainer_of(self.method, step).regularizer(net, {})
        gathered = {} if regularizer is None else regularizer.final_state(net)
        if lacking := sorted({name.partition("/")[0] for name in gathered.keys() - own.keys()}):
            ordered = "" if self.found.files[-1].labels == step.seen else " in the scenario's order of classes"
            raise ValueError(
                f"{who}: it needs the {' and '.join(lacking)} of each parameter, gathered while step {step.index} is "
                f"trained, and there is no such state next to the checkpoint{ordered}; {remedy}"
            )
        ended = self._ended
        if self.lacks_state:
            n_images = len(self.method.images(step, data.presence[0], {}))
            if n_images < self.settings.optim.batch:
                raise ValueError(
                    f"{who}: it needs {' and '.join(sorted(ended))} of step {step.index}, which it makes from the "
                    f"step's training images, and there are {n_images}, fewer than a batch; {remedy}"
                )
            own = own | joined_state(ended, {})
        if isinstance(net.classifier, BINARY) and not self.method.builds_net:
            raise ValueError(
                f"{who}: its losses are for a softmax over all classes, and this net decides on each class by itself; "
                f"{remedy}"
            )
        try:
            self.method.begin_step(net, self.scenario.steps[step.index + 1])
        except ValueError as error:
            raise ValueError(f"{who}: {error}; {remedy}") from error
        return net, own

    @cached_property
    def _ended(self) -> State:
        """What `Method.end_step` leaves after the last given step; on a blank batch, for its names and shapes."""
        step, size = self.last, self.settings.data.size
        net = self.net(step.index)
        blank = torch.zeros(2, 3, size, size), torch.full((2, size, size), step.n_seen - 1)
        before = (lambda: self.net(step.index - 1).frozen()) if step.index else None
        context = StepContext(step, None, lambda: [blank], self.state(step.index), before=before)
        try:
            with torch.no_grad():
                return joined_state(self.method.end_step(net, context)[1], {})
        except KeyError as error:
            raise ValueError(
                f"{self.method.title} ({self.settings.method}) cannot go on from {self.found.files[-1].path}: it needs "
                f"the state {error.args[0]!r} of the steps before; name a run of {self.settings.method} with "
                "start.checkpoint (--from)"
            ) from error
        except ValueError as error:
            raise ValueError(
                f"{self.method.title} ({self.settings.method}) cannot go on from {self.found.files[-1].path}: {error}; "
                f"name a run of {self.settings.method} with start.checkpoint (--from), or another method"
            ) from error

    def model(self) -> Model:
        """The settings of the net that the first checkpoint holds, apart from those in `OF_A_CHECKPOINT`."""
        net = self.net(0)
        encoder = net.encoder.recipe()
        own = {"encoder": encoder["name"], "weights": "none", "slope": encoder["slope"], "stages": encoder["stages"]}
        return self.settings.model.model_copy(update=own | settings_of_decoder(net.decoder))

    def place(self, store: StepStore, net: Segmenter, state: State, before: str | None, names: Sequence[str]) -> None:
        """Keep a step in the run's folder: the very file, where it is a run's and holds what the method needs."""
        if not self._is_exact(store.index) or state.keys() != self.state(store.index).keys():
            store.finish(net, [], state, before, names)
            return
        source = StepFile(Path(), store.index, self.found.files[store.index].path)
        save_ticks(store.ticks_file, [])
        if state:
            write_bytes(store.state_file, source.state_file.read_bytes(), seal=True)
        write_bytes(store.checkpoint, source.checkpoint.read_bytes(), seal=True)

    def _is_exact(self, index: int) -> bool:
        """Whether a step's files, and those of all before it, are taken as they are."""
        if index and not self._is_exact(index - 1):
            return False
        file, step = self.found.files[index], self.scenario.steps[index]
        if not is_of_a_run(file.path) or file.labels != step.seen or (step is self.last and self.lacks_state):
            return False
        store = StepFile(file.path.parent, index, file.path)
        if store.recipe() is None or (index == 0 and len(store.classes()) > 1):
            return False
        return store.state_file.is_file() == bool(json.loads(read_metadata(file.path)["step"]).get("state"))


def open_given(settings: Settings, scenario: Scenario, method: Method, folder: RunFolder) -> Given | None:
    """The first steps of a run where they are given; None where step 0 is trained.

    Where their files are gone, the copies in the run's folder take their place.
    """
    start = settings.start
    if not start.is_given:
        return None
    if start.checkpoint is not None and not start.checkpoint.exists() and (copies := _copies(scenario, folder)):
        return Given(Found(copies), settings, scenario, method)
    found = find_start(settings)
    if found.assumed:
        notice(f"{start.checkpoint}: names no classes; its channels are taken for {scenario}'s, in the order learnt")
    return Given(found, settings, scenario, method)


def _copies(scenario: Scenario, folder: RunFolder) -> tuple[GivenFile, ...]:
    """The given steps in a run's folder: those without ticks, since no step is trained in none."""
    copies = []
    for step in scenario.steps:
        store = StepStore(folder.checkpoints, step.index)
        if not store.checkpoint.is_file() or store.ticks():
            break
        copies.append(GivenFile(store.checkpoint, step.seen))
    return tuple(copies)
