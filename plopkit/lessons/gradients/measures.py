"""Which term of a method's loss pulls on which part of the net: values, and norms of gradients."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import hypot

import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor

from plopkit.compute import make_accelerator
from plopkit.datasets.scenario_data import channels_of
from plopkit.methods import Method
from plopkit.methods.base import Memory, Watcher
from plopkit.model.segmenter import Output, Segmenter
from plopkit.scenario import Step
from plopkit.settings import Settings
from plopkit.trainer import Training, fit

Batches = Sequence[tuple[Tensor, Tensor]]


@dataclass(frozen=True, eq=False)
class Situation:
    """Where methods are compared: a net in the midst of a step. All nets are in evaluation mode, so that batch norms
    stand still."""

    step: Step
    teacher: Segmenter
    start: Segmenter
    """the grown net that the step began with"""
    net: Segmenter
    """as it is now"""
    images: Float[Tensor, "B 3 H W"]
    target: Int[Tensor, "B H W"]
    """channels, as the step's training masks show them"""
    masks: Int[Tensor, "B H W"]
    """the true labels, of which joint training may see all known ones"""

    def asked_of(self, method: Method) -> Int[Tensor, "B H W"]:
        """The target that a method is given."""
        if not method.rehearses:
            return self.target
        return channels_of(self.masks, self.step, "seen")


def whole_net(table: pd.DataFrame) -> pd.Series:
    """The norm of each term's gradient over all parts together, from the table of ``attribution``."""
    return table.drop(columns="value").pow(2).sum(axis=1).pow(0.5)


def losses_at(at: Situation, method: Method, seen: Batches) -> dict[str, Tensor]:
    """The method's terms, weighted as the loop adds them up; seen: the training batches that ``prepare`` looks at."""
    prepared = method.prepare(at.teacher, seen, at.step)
    with torch.no_grad():
        old = at.teacher(at.images) if method.needs_teacher else None
    return method.losses(at.net(at.images), old, at.asked_of(method), at.step, prepared)


def attribution(
    methods: Mapping[str, Method], at: Situation, seen: Batches, memories: Mapping[str, Memory]
) -> pd.DataFrame:
    """One row per (method, term): its ``value``, then the L2 norm of its gradient on each part of the net.

    seen: the training batches that ``prepare`` looks at. memories: what the watchers of EWC, PI and RW kept of the step
    before, by the method's name; without one, such a method has no penalty yet. ValueError where the net is frozen.
    """
    part_of = parts(at.net, at.images)
    rows = {}
    for name, method in methods.items():
        for term, loss in losses_at(at, method, seen).items():
            rows[name, term] = {"value": loss.item()} | gradient_norms(loss, at.net, part_of)
        watcher = method.watcher(at.start, memories.get(name))
        if watcher is not None and (pulled := penalty(watcher, at.net)) is not None:
            value, gradients = pulled
            rows[name, "penalty"] = {"value": value} | _norms(gradients, part_of)
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["method", "term"])


def parts(net: Segmenter, images: Float[Tensor, "B 3 H W"]) -> dict[str, str]:
    """Each parameter's part of the net, by the parameter's name, in the order of the net.

    The encoder's parameters belong to the first of its four maps that depends on them, whatever the network is called
    inside; the classifier of the newest step is the "new classifier". ValueError where the net is frozen.
    """
    named = dict(net.named_parameters())
    if not all(parameter.requires_grad for parameter in named.values()):
        raise ValueError("the net is frozen and has no gradients; take one that is trained, not a teacher")
    encoder = [name for name in named if name.startswith("encoder.")]
    found: dict[str, str] = {}
    for number, stage in enumerate(net.encoder(images[:1]), 1):
        left = [name for name in encoder if name not in found]
        used = torch.autograd.grad(stage.sum(), [named[name] for name in left], retain_graph=True, allow_unused=True)
        found |= {name: f"stage {number}" for name, gradient in zip(left, used, strict=True) if gradient is not None}
    newest = f"classifiers.{len(net.classifiers) - 1}."
    for name in named:
        if name.startswith("head."):
            found[name] = "head"
        elif name.startswith("classifiers."):
            found[name] = "new classifier" if name.startswith(newest) else "old classifier"
    return found


def gradient_norms(loss: Float[Tensor, ""], net: Segmenter, part_of: Mapping[str, str]) -> dict[str, float]:
    """The L2 norm of a loss's gradient over the parameters of each part; 0 where it sends none."""
    named = {name: parameter for name, parameter in net.named_parameters() if name in part_of}
    gradients = torch.autograd.grad(loss, list(named.values()), retain_graph=True, allow_unused=True)
    return _norms({n: g for n, g in zip(named, gradients, strict=True) if g is not None}, part_of)


def penalty(watcher: Watcher, net: Segmenter) -> tuple[float, dict[str, Tensor]] | None:
    """A watcher's penalty on the net as it is, and its gradient by parameter; None where it has none yet."""
    for parameter in net.parameters():
        parameter.grad = torch.zeros_like(parameter)
    value = watcher.pull(net)
    gradients = {name: p.grad for name, p in net.named_parameters() if p.grad is not None}
    net.zero_grad()
    return None if value is None else (value.item(), gradients)


def protects(method: Method, at: Situation, seen: Batches) -> tuple[str, ...]:
    """What a method holds: "outputs", "features", "parameters", or "old labels" where it sees them again.

    It is asked, not looked up: a method holds the teacher's outputs or features if its terms change with them.
    """
    held = []
    if method.needs_teacher:
        prepared = method.prepare(at.teacher, seen, at.step)
        with torch.no_grad():
            out, old = at.net(at.images), at.teacher(at.images)
            other = {
                "outputs": old._replace(logits=old.logits.roll(1, 1), small=old.small.roll(1, 1)),
                "features": old._replace(features=tuple(map_.roll(1, 1) for map_ in old.features)),
            }

            def total(teacher: Output) -> Tensor:
                terms = method.losses(out, teacher, at.asked_of(method), at.step, prepared)
                return torch.stack(list(terms.values()))

            held = [name for name, changed in other.items() if not torch.equal(total(old), total(changed))]
    if method.watcher(at.start, None) is not None:
        held.append("parameters")
    return (*held, "old labels") if method.rehearses else tuple(held)


def some_iterations(
    settings: Settings, method: Method, net: Segmenter, step: Step, seen: Batches, lr: float | None = None
) -> tuple[Segmenter, Memory]:
    """Train ``net`` itself on these batches, once, on the CPU -> the net, in evaluation mode, and its watcher's memory.

    For methods without a teacher; the memory is empty where nothing is watched. lr: None is the step's own.
    """
    chosen = {"epochs": 1, "epochs_later": 1} | ({} if lr is None else {"lr": lr, "lr_later": lr})
    cpu = settings.compute.model_copy(update={"cpu": True, "precision": "fp32"})
    accelerator = make_accelerator(settings.model_copy(update={"compute": cpu}))
    watcher = method.watcher(net, None)
    training = Training(net, settings.optim.model_copy(update=chosen), step, watcher=watcher)
    for _ in fit(training, seen, method, step, accelerator):
        pass
    net.zero_grad()
    return net.eval(), {} if watcher is None else watcher.memory(net)


def _norms(gradients: Mapping[str, Tensor], part_of: Mapping[str, str]) -> dict[str, float]:
    norms: dict[str, Iterable[float]] = {part: [] for part in part_of.values()}
    for name, gradient in gradients.items():
        norms[part_of[name]] = [*norms[part_of[name]], gradient.norm().item()]
    return {part: hypot(*found) for part, found in norms.items()}
