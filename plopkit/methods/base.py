"""The base class of methods: immutable hyper-parameters, and one verb for each stage of a step.

`plopkit.runs.experiment` calls the verbs in this order. Step 0: ``first_step().first_net``, ``schedule``, ``images``,
``parameter_groups``, ``regularizer``, then ``losses`` for every batch, then ``end_step``. A later step: ``teacher``,
``begin_step``, ``schedule``, ``images``, ``parameter_groups``, ``regularizer``, ``prepare``, then ``losses`` for every
batch, then ``end_step``. ``predict`` decides what is evaluated.

Nets that ``prepare``, ``end_step`` and ``candidate_target`` see or let see images compute in `compute.precision`, as
those do whose outputs ``losses`` gets (`plopkit.compute.as_in_training`): maps may be in half precision, and sums of
them belong in float32. A regularizer's gradients are those of training. Evaluation, and all that changes weights, such
as ``begin_step``, is in float32.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from plopkit.catalogue import METHODS
from plopkit.datasets.steps import Selection
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Output, Segmenter
from plopkit.scenario import Scenario, Step
from plopkit.settings import Memory as MemorySettings
from plopkit.settings import Optim
from plopkit.support.moved import renamed
from plopkit.support.prediction import predicted_channel

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


Batches = Iterable[tuple[Tensor, Tensor]]
"""Images (B, 3, H, W) and targets (B, H, W) on the net's device."""

State = dict[str, Tensor]
"""What a method carries from step to step: tensors by name, such as "fisher/encoder.conv1.weight". Saved with the
step's checkpoint, and always on the CPU when a method sees it: what the losses need, `Method.prepare` moves once."""


def joined_state(ended: Mapping[str, Any], gathered: Mapping[str, Any]) -> State:
    """What a step leaves for the next, on the CPU.

    Args:
        ended: from `Method.end_step`.
        gathered: from `Regularizer.final_state`.

    Raises:
        ValueError: where both use a name, or a value is not a tensor.
    """
    if twice := sorted(ended.keys() & gathered.keys()):
        raise ValueError(f"end_step and regularizer both give a state {twice[0]!r}; rename one")
    state = {**gathered, **ended}
    if other := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise ValueError(f"the state {other[0]!r} is a tensor, not {type(state[other[0]]).__name__}")
    # Clones, since files cannot hold tensors that share memory, such as views.
    return {name: value.detach().cpu().clone(memory_format=torch.contiguous_format) for name, value in state.items()}


class Whole(NamedTuple):
    """A term that is not a mean over images and cannot be added up from parts of a batch, such as a contrast between
    all of its pixels. A method with such a term is refused `compute.micro_batch` and several processes."""

    value: Tensor


Term = Tensor | tuple[Tensor, Tensor] | Whole
"""A loss term: a mean over images, weighted equally; or a pair (sum, count), divided after all parts of a batch and
all processes have added to both; or a `Whole`."""


def own_share(counts: Tensor) -> Tensor:
    """The ``reduce`` of a single process."""
    return counts


class StepContext(NamedTuple):
    """What a method knows of a step; made once a step."""

    step: Step
    teacher: Segmenter | None = None
    """what `Method.teacher` gave"""
    batches: Callable[[], Batches] = tuple
    """one epoch of the step's training batches, in the order of epoch 0; may be called again"""
    state: State = {}  # noqa: RUF012  (never changed)
    """what the last step's `Method.end_step` and regularizer gave; empty at step 0"""
    reduce: Callable[[Tensor], Tensor] = own_share
    """sums a tensor over processes"""
    selection: Selection | None = None
    """the images that the step trains on"""
    before: Callable[[], Segmenter] | None = None
    """loads the net of the step before, in evaluation mode and on the device, for a method without a teacher; None at
    step 0"""
    shows_old: bool = False
    """whether targets show classes of earlier steps as such: those of images in the memory do"""


class Batch(NamedTuple):
    """What a method's losses see; made for every batch, or for every part of one."""

    out: Output
    old: Output | None
    """the teacher's output; None without a teacher"""
    target: Int[Tensor, "B H W"]
    """channels, 255 where ignored"""
    net: Segmenter
    """the net being trained: ``net.classify`` replays features"""
    context: StepContext
    prepared: Any = None
    """what `Method.prepare` returned"""


class Schedule(NamedTuple):
    """How long and how fast a step is trained."""

    epochs: int
    lr: float
    min_iterations: int = 0
    """the least number of iterations: a step whose epochs have fewer is trained for more epochs"""
    floor: float = 0.0
    """the least learning rate of a parameter group"""

    @classmethod
    def of_settings(cls, optim: Optim, step: Step) -> Self:
        """Those of the settings, for step 0 or for later steps."""
        if step.index:
            return cls(optim.epochs_later, optim.lr_later, optim.min_iterations)
        return cls(optim.epochs, optim.lr)

    def epochs_of(self, n_batches: int) -> int:
        """Number of epochs of a step that has ``n_batches`` batches an epoch: the smallest that is enough."""
        return max(self.epochs, math.ceil(self.min_iterations / n_batches))


class Regularizer(ABC):
    """A penalty that keeps parameters close to their values at the start of a step.

    It also collects the importances that the next step's penalty needs.
    """

    @abstractmethod
    def update(self, net: nn.Module) -> None:
        """Observe the gradients of the losses; called in every iteration, before ``add_penalty_gradient``."""

    @abstractmethod
    def add_penalty_gradient(self, net: nn.Module) -> Tensor | None:
        """Add the penalty's gradient to the parameters' gradients; returns the penalty, or None where there is none."""

    @abstractmethod
    def final_state(self, net: nn.Module) -> State:
        """For the regularizer of the next step; called at the end of this one."""

    @abstractmethod
    def state(self) -> State:
        """All that changes during a step, so that an interrupted step resumes with the same numbers."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Continue from what ``state`` returned."""


class Method(BaseModel, ABC):
    """A way to learn new classes. A frozen value: its fields are its hyper-parameters.

    Only ``losses`` must be written. Do not subclass a concrete method in order to modify it.

    Example:
        >>> class Scaled(Method):
        ...     \"\"\"Cross-entropy, scaled.\"\"\"
        ...     name, title, source = "scaled", "scaled", "an example"
        ...     factor: float = Field(2.0, gt=0, description="of the cross-entropy")
        ...     def losses(self, batch):
        ...         return {"ce": self.factor * cross_entropy(batch.out.logits, batch.target).mean()}
        >>> plopkit.METHODS["scaled"] = Scaled
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: ClassVar[str]
    """In the command line, tables and run folders."""
    title: ClassVar[str]
    """In plots and tables."""
    source: ClassVar[str]
    """The paper."""
    learns_domains: ClassVar[bool] = False
    """Whether it also makes sense in the protocol `domain`, whose later steps have no new class. Other methods are
    refused there, before anything is written."""

    allows_memory: ClassVar[bool] = False
    """Whether it makes use of images of earlier steps (`settings.Memory`), where targets show old classes and
    `StepContext.shows_old` says so. Other methods are refused with a memory."""

    memory_labels: ClassVar[tuple[str, ...]] = get_args(MemorySettings.model_fields["labels"].annotation)
    """The values of `memory.labels` that make a difference to it, or that it needs. Others are refused."""

    decoders: ClassVar[tuple[str, ...]] = ()
    """The values of `model.decoder` that it takes, where not all; others are refused."""

    uses_saliency: ClassVar[bool] = False
    """Whether it makes use of saliency maps (`data.saliency`). Other methods are refused with them."""

    @classmethod
    def about(cls) -> str:
        """What it does, in a line: the first of its docstring."""
        return (cls.__doc__ or "").strip().splitlines()[0]

    def build(self, encoder: Encoder, decoder: Decoder, n_seen: int) -> Segmenter:
        """Step 0's net. Default: a softmax classifier of ``n_seen`` channels."""
        return Segmenter.from_parts(encoder, decoder, Classifier(decoder.width, (n_seen,)))

    def first_net(self, encoder: Encoder, decoder: Decoder, scenario: Scenario) -> Segmenter:
        """Step 0's net, for a method that must know the steps to come. Default: `build`."""
        return self.build(encoder, decoder, scenario.steps[0].n_seen)

    @property
    def builds_net(self) -> bool:
        """Whether the method has a net of its own."""
        return type(self).build is not Method.build or self.plans_ahead

    @property
    def plans_ahead(self) -> bool:
        """Whether step 0 depends on the steps to come."""
        return type(self).first_net is not Method.first_net

    def first_step(self) -> "Method":
        """The method that trains step 0.

        Default: fine-tuning, so that all methods share one step 0. A method that overrides `build` or `first_net`
        trains it itself. In both cases this method's `end_step` is called afterwards.
        """
        return self if self.builds_net else METHODS["ft"]()

    @property
    def shares_step_0(self) -> bool:
        """Whether step 0 is plain fine-tuning, which is trained once for all such methods."""
        return self.first_step() == METHODS["ft"]()

    @property
    def own_first_step(self) -> bool:
        """The opposite of `shares_step_0`, by its name in plopkit 0.1."""
        return not self.shares_step_0

    def teacher(self, before: Segmenter, step: Step) -> Segmenter | None:
        """The frozen net whose output the losses see. Default: the net of the step before. None for no teacher."""
        return before.frozen()

    def begin_step(self, before: Segmenter, step: Step) -> Segmenter:
        """The net with which a later step begins, from that of the step before, which must not change.

        Default: a copy with new channels that begin as shares of the background (MiB, eq. 10).
        """
        return before.grown(len(step.new))

    def schedule(self, optim: Optim, step: Step) -> Schedule:
        """Epochs, learning rate and least iterations. Default: those of the settings for step 0 and later steps."""
        return Schedule.of_settings(optim, step)

    def images(self, step: Step, presence: Bool[np.ndarray, "N ids"], state: State) -> Selection:
        """The images that a step trains on, and the labels that their targets show. Default: the protocol's.

        Args:
            step: the step.
            presence: which labels each training image has.
            state: as in `StepContext`; also empty during the check, before training, that every step has a batch.
        """
        return Selection.protocol(step, presence)

    def memory_images(self, kept: Selection, step: Step) -> Selection:
        """The images of the memory with their targets, from those that the settings ask for. Default: the same.

        Args:
            kept: images and targets.
            step: the step that trains on them.
        """
        return kept

    def candidate_target(self, out: Output, target: Int[Tensor, "B H W"], step: Step) -> Int[Tensor, "B H W"]:
        """What images that a step may add to the memory are taken to show, by which they are chosen.

        Default: their targets; no image is read then. A method that lets the net add classes uses
        `plopkit.memory.recognised`.

        Args:
            out: of the net that the step leaves.
            target: channels, as in the step's training targets.
            step: the step, a later one; at step 0 targets show all classes.
        """
        return target

    def parameter_groups(self, net: Segmenter, step: Step) -> list[dict[str, Any]]:
        """Groups for the optimiser: "params", and optionally "lr_scale" and "weight_decay".

        What is in no group gets no gradient; its norms' statistics still run, which `Segmenter.freeze` prevents.
        Default: one group of all that is not frozen, as published: weight decay on biases and norms too.
        """
        return [{"params": [p for p in net.parameters() if p.requires_grad]}]

    def prepare(self, context: StepContext) -> Any:
        """Called once before a later step is trained; what it returns is `Batch.prepared`.

        An interrupted step calls it again when it resumes, so what it returns must not change during the step: what
        does belongs to a `Regularizer` or to the net's buffers, which are saved. The same holds for random numbers:
        those of this verb, of `losses` and of `end_step` are drawn from the run's seed, whatever was drawn before.
        """
        return None

    @abstractmethod
    def losses(self, batch: Batch) -> Mapping[str, Term]:
        """The terms by name; the loop adds them up and logs each."""

    def regularizer(self, net: nn.Module, state: State) -> Regularizer | None:
        """The penalty of a step that starts from ``net``, or None; ``state`` as in `StepContext`."""
        return None

    def end_step(self, net: Segmenter, context: StepContext) -> tuple[Segmenter, State]:
        """The net that the step leaves, and the state for the next. Default: the net as it was trained, no state."""
        return net, {}

    def predict(self, logits: Float[Tensor, "B C H W"]) -> Int[Tensor, "B H W"]:
        """The predicted channel of each pixel. Default: the one with the largest logit."""
        return predicted_channel(logits)


def trainer_of(method: Method, step: Step) -> Method:
    """The method that trains a step of a run: `Method.first_step` at step 0, then the method itself."""
    return method if step.index else method.first_step()
