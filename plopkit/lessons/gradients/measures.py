"""Which term of a method's loss acts on which part of the net: values, and norms of gradients."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from plopkit.backward import value_of
from plopkit.compute import make_accelerator
from plopkit.datasets.scenario_data import channels_of
from plopkit.datasets.steps import Selection
from plopkit.methods import METHODS, Method
from plopkit.methods.base import Batch, Regularizer, State, StepContext
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import ASPP
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Segmenter
from plopkit.scenario import N_IDS, Step
from plopkit.settings import Settings
from plopkit.trainer import Training, fit

Batches = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Situation:
    """The net, images and targets on which methods are compared, in the middle of a step.

    All nets are in evaluation mode, so that batch norms do not change.
    """

    step: Step
    teacher: Segmenter
    start: Segmenter
    """the grown net at the start of the step"""
    net: Segmenter
    """the net now"""
    images: Float[Tensor, "B 3 H W"]
    target: Int[Tensor, "B H W"]
    """channels, as the step's training targets have them"""
    masks: Int[Tensor, "B H W"]
    """the true labels; joint training sees all that are learnt so far"""

    def target_of(self, method: Method) -> Int[Tensor, "B H W"]:
        """The target that a method trains on."""
        return channels_of(self.masks, self.step, "seen") if rehearses(method, self.step) else self.target


def softmax_methods() -> tuple[str, ...]:
    """Names of the methods whose net has a softmax over its channels, which can be compared on one net.

    The losses of the others, such as DKD's, look at what their own net gives besides.
    """
    return tuple(name for name, kind in METHODS.items() if _classifier_kind(kind()) == Classifier.kind)


def _classifier_kind(method: Method) -> str:
    """The kind of the classifier that a method trains."""
    if not method.builds_net:
        return Classifier.kind
    encoder = Encoder("resnet18")
    return method.build(encoder, ASPP(encoder.channels[-1], 8, (1,)), 2).classifier.kind


def whole_net(table: pd.DataFrame) -> pd.Series:
    """The norm of each term's gradient over all parts together.

    Args:
        table: result of `attribution`.
    """
    return table.drop(columns="value").pow(2).sum(axis=1).pow(0.5)


def losses_at(at: Situation, method: Method, seen: Batches) -> dict[str, Tensor]:
    """A method's terms by name, each with its weight.

    Args:
        at: where they are computed.
        method: the method.
        seen: the training batches that `Method.prepare` reads.
    """
    return batch_at(at, method, seen)[1]


def batch_at(at: Situation, method: Method, seen: Batches) -> tuple[Batch, dict[str, Tensor]]:
    """The batch that a method's losses see, and the terms, as in `losses_at`."""
    teacher = method.teacher(at.teacher, at.step)
    context = StepContext(at.step, teacher, lambda: seen, state_at(at, method))
    prepared = method.prepare(context)
    with torch.no_grad():
        old = None if teacher is None else teacher(at.images)
    batch = Batch(at.net(at.images), old, at.target_of(method), at.net, context, prepared)
    return batch, terms_of(method, batch)


def terms_of(method: Method, batch: Batch) -> dict[str, Tensor]:
    """A method's terms on a whole batch, each as a single value."""
    return {name: value_of(term) for name, term in method.losses(batch).items()}


def state_at(at: Situation, method: Method) -> State:
    """What a method's `end_step` leaves for the step, such as prototypes, from the images with their old labels."""
    before = Step(0, at.step.protocol, at.step.old, (), at.step.new + at.step.future)
    batches = [(at.images, channels_of(at.masks, before, "seen"))]
    return method.end_step(copy.deepcopy(at.teacher), StepContext(before, batches=lambda: batches))[1]


def rehearses(method: Method, step: Step) -> bool:
    """Whether a method trains on images that show only old labels, with these labels, as no protocol does."""
    old = np.eye(N_IDS, dtype=bool)[[label for label in step.old if label]]
    return len(method.images(step, old, {})) > len(Selection.protocol(step, old))


def attribution(
    methods: Mapping[str, Method], at: Situation, seen: Batches, states: Mapping[str, State]
) -> pd.DataFrame:
    """Compute every term of several methods and its gradient on each part of the net.

    Args:
        methods: the methods, by name.
        at: where they are compared.
        seen: the training batches that `Method.prepare` reads.
        states: the states that the regularizers of EWC, PI and RW had at the end of the step before, by the method's
            name; without one, such a method has no penalty yet.

    Returns:
        A row per (method, term): its ``value``, then the L2 norm of its gradient on each part.

    Raises:
        ValueError: the net is frozen.

    Example:
        >>> table = attribution({"plop": PLOP()}, situation, batches, {})
        >>> table.loc[("plop", "pod"), "stage 1"]
    """
    part_of = parts(at.net, at.images)
    rows = {}
    for name, method in methods.items():
        for term, loss in losses_at(at, method, seen).items():
            rows[name, term] = {"value": loss.item()} | gradient_norms(loss, at.net, part_of)
        regularizer = method.regularizer(at.start, states.get(name, {}))
        if regularizer is not None and (result := penalty(regularizer, at.net)) is not None:
            value, gradients = result
            rows[name, "penalty"] = {"value": value} | _norms(gradients, part_of)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["method", "term"])


def parts(net: Segmenter, images: Float[Tensor, "B 3 H W"]) -> dict[str, str]:
    """The part of the net that each parameter belongs to, by the parameter's name.

    A parameter of the encoder belongs to the first of the four stages whose output depends on it, whatever the
    encoder's modules are called. The classifier of the newest step is the "new classifier".

    Raises:
        ValueError: the net is frozen.
    """
    named = dict(net.named_parameters())
    if not all(parameter.requires_grad for parameter in named.values()):
        raise ValueError("the net is frozen and has no gradients; pass a net that is being trained, not a teacher")
    encoder = [name for name in named if name.startswith("encoder.")]
    part_of: dict[str, str] = {}
    for number, stage in enumerate(net.encoder(images[:1]), 1):
        left = [name for name in encoder if name not in part_of]
        used = torch.autograd.grad(stage.sum(), [named[name] for name in left], retain_graph=True, allow_unused=True)
        part_of |= {name: f"stage {number}" for name, gradient in zip(left, used, strict=True) if gradient is not None}
    newest = f"classifier.{len(net.classifier) - 1}."
    for name in named:
        if name.startswith("decoder."):
            part_of[name] = "head"
        elif name.startswith("classifier."):
            part_of[name] = "new classifier" if name.startswith(newest) else "old classifier"
    return part_of


def gradient_norms(loss: Float[Tensor, ""], net: Segmenter, part_of: Mapping[str, str]) -> dict[str, float]:
    """The L2 norm of a loss's gradient over the parameters of each part; 0 where there is no gradient."""
    named = {name: parameter for name, parameter in net.named_parameters() if name in part_of}
    gradients = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    return _norms({n: g for n, g in zip(named, gradients, strict=True) if g is not None}, part_of)


def penalty(regularizer: Regularizer, net: Segmenter) -> tuple[float, dict[str, Tensor]] | None:
    """A regularizer's penalty on a net and its gradient by parameter; None if it has no penalty yet."""
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    value = regularizer.add_penalty_gradient(net)
    gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    return None if value is None else (value.item(), gradients)


def protects(method: Method, at: Situation, seen: Batches) -> tuple[str, ...]:
    """What a method protects: "outputs", "features", "parameters", or "old labels" if it sees them again.

    This is measured: a method protects the teacher's outputs or features if its terms change with them.
    """
    protected = []
    batch, terms = batch_at(at, method, seen)
    if (old := batch.old) is not None:
        rolled = tuple(stage.roll(1, 1) for stage in old.stages)
        assert old.head is not None and old.encoded is not None
        changed = {
            "outputs": old._replace(logits=old.logits.roll(1, 1), small=old.small.roll(1, 1)),
            "features": old._replace(stages=rolled, encoded=old.encoded.roll(1, 1), head=old.head.roll(1, 1)),
        }
        before = torch.stack(list(terms.values()))
        for name, other in changed.items():
            after = torch.stack(list(terms_of(method, batch._replace(old=other)).values()))
            if not torch.equal(before, after):
                protected.append(name)
    if method.regularizer(at.start, {}) is not None:
        protected.append("parameters")
    return (*protected, "old labels") if rehearses(method, at.step) else tuple(protected)


def some_iterations(
    settings: Settings, method: Method, net: Segmenter, step: Step, seen: Batches, lr: float | None = None
) -> tuple[Segmenter, State]:
    """Train a net on a few batches, one epoch, on the CPU.

    Args:
        settings: the run's settings.
        method: a method without a teacher.
        net: the net, which is changed.
        step: the step that is trained.
        seen: the batches.
        lr: the learning rate; None for the step's own.

    Returns:
        The net in evaluation mode, and its regularizer's state, which is empty without a regularizer.
    """
    optim = {"epochs": 1, "epochs_later": 1} | ({} if lr is None else {"lr": lr, "lr_later": lr})
    cpu = settings.compute.model_copy(update={"cpu": True, "precision": "fp32"})
    accelerator = make_accelerator(settings.model_copy(update={"compute": cpu}))
    regularizer = method.regularizer(net, {})
    training = Training(net, settings.optim.model_copy(update=optim), step, regularizer=regularizer)
    for _ in fit(training, seen, method, step, accelerator):
        pass
    net.zero_grad()
    return net.eval(), {} if regularizer is None else regularizer.final_state(net)


def _norms(gradients: Mapping[str, Tensor], part_of: Mapping[str, str]) -> dict[str, float]:
    norms: dict[str, Iterable[float]] = {part: [] for part in part_of.values()}
    for name, gradient in gradients.items():
        norms[part_of[name]] = [*norms[part_of[name]], gradient.norm().item()]
    return {part: hypot(*values) for part, values in norms.items()}
