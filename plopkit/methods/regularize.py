"""Methods that penalise changes of important parameters: EWC, path integral, Riemannian walk.

The arithmetic is that of MiB's code, which CVPR2021_PLOP uses with a weight of 100. In all three the penalty is
λ Σ w (θ − θ*)² with θ* the parameters when the step began; they differ in the importance w. It is gathered while a step
is trained, step 0 included, from the gradients of the other losses, and rescaled to [0, 1] per tensor before use.
"""

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor, nn

from plopkit.methods.base import Method, Regularizer, State
from plopkit.methods.baselines import WithoutTeacher

Named = dict[str, Tensor]
"""Tensors by the parameter's name."""


class _Regularized(WithoutTeacher):
    """Cross-entropy and a regularizer, in step 0 as well."""

    def first_step(self) -> Method:
        return self


class EWC(_Regularized):
    """Elastic weight consolidation, online: importance is a moving average of squared gradients."""

    name = "ewc"
    title = "EWC"
    source = "Kirkpatrick et al., PNAS 2017"
    learns_domains = True
    allows_memory = True

    importance: float = Field(100.0, ge=0, description="weight of the penalty (MiB's code: 500)")
    alpha: float = Field(0.9, ge=0, le=1, description="share of the newest squared gradient in the moving average")

    def regularizer(self, net: nn.Module, state: State) -> Regularizer:
        return FisherRegularizer(self, net, state)


class PI(_Regularized):
    """Path integral (synaptic intelligence): importance is how much a parameter's path lowered the loss."""

    name = "pi"
    title = "PI"
    source = "Zenke et al., ICML 2017"
    learns_domains = True
    allows_memory = True

    importance: float = Field(100.0, ge=0, description="weight of the penalty (MiB's code: 500)")

    def regularizer(self, net: nn.Module, state: State) -> Regularizer:
        return PathRegularizer(self, net, state)


class RW(_Regularized):
    """Riemannian walk: the Fisher information of EWC plus the path's score in its metric."""

    name = "rw"
    title = "RW"
    source = "Chaudhry et al., ECCV 2018"
    learns_domains = True
    allows_memory = True

    importance: float = Field(100.0, ge=0, description="weight of the penalty")
    alpha: float = Field(0.9, ge=0, le=1, description="share of the newest squared gradient in the moving average")
    every: int = Field(10, ge=1, description="iterations between two measurements of the path")

    def regularizer(self, net: nn.Module, state: State) -> Regularizer:
        return WalkRegularizer(self, net, state)


class QuadraticPenalty:
    """λ Σ w (θ − θ*)². ``weights`` w are empty in step 0, where nothing is known yet."""

    def __init__(self, factor: float, net: nn.Module, weights: Named):
        device = next(net.parameters()).device
        self.factor = factor
        self.start = {name: p.detach().clone() for name, p in net.named_parameters()}
        self.weights = {name: w.to(device) for name, w in weights.items()}

    @torch.no_grad()
    def add_gradient(self, net: nn.Module) -> Tensor | None:
        """Add the penalty's gradient to the parameters'; returns the penalty, None without weights."""
        if not self.weights:
            return None
        terms = []
        for name, p in net.named_parameters():
            if name in self.weights:
                away = p - self.start[name]
                held = self.weights[name] * away
                terms.append((held * away).sum())
                if p.grad is not None:
                    p.grad.add_(held, alpha=2 * self.factor)
        return self.factor * torch.stack(terms).sum()


class FisherRegularizer(Regularizer):
    """The regularizer of `EWC`."""

    def __init__(self, method: EWC, net: nn.Module, state: State):
        before = part(state, "fisher")
        self.alpha = method.alpha
        self.penalty = QuadraticPenalty(method.importance, net, scaled(before))
        self.fisher = fisher_from(net, before)

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        for name, grad in gradients(net):
            self.fisher[name].lerp_(grad.square(), self.alpha)

    def add_penalty_gradient(self, net: nn.Module) -> Tensor | None:
        return self.penalty.add_gradient(net)

    def final_state(self, net: nn.Module) -> State:
        return joined(fisher=self.fisher)

    def state(self) -> State:
        return joined(fisher=self.fisher)

    def restore(self, state: State) -> None:
        self.fisher = on_device(part(state, "fisher"), self.penalty.start)


class PathRegularizer(Regularizer):
    """The regularizer of `PI`."""

    def __init__(self, method: PI, net: nn.Module, state: State):
        self.score_before = part(state, "score")
        self.penalty = QuadraticPenalty(method.importance, net, scaled(self.score_before))
        self.path = {name: torch.zeros_like(p) for name, p in self.penalty.start.items()}
        self.last: Named = {}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        parameters = dict(net.named_parameters())
        for name, grad in gradients(net):
            if name in self.last:
                self.path[name] += grad * (self.last[name] - parameters[name])
            self.last[name] = parameters[name].detach().clone()

    def add_penalty_gradient(self, net: nn.Module) -> Tensor | None:
        return self.penalty.add_gradient(net)

    @torch.no_grad()
    def final_state(self, net: nn.Module) -> State:
        score = {}
        for name, p in net.named_parameters():
            ratio = self.path[name] / ((p - self.penalty.start[name]).square() + 1e-20)
            score[name] = torch.where(ratio > 0, ratio, 0.0)
            if name in self.score_before:
                score[name] += self.score_before[name].to(p.device)
        return joined(score=score)

    def state(self) -> State:
        return joined(path=self.path, last=self.last)

    def restore(self, state: State) -> None:
        self.path, self.last = (on_device(part(state, key), self.penalty.start) for key in ("path", "last"))


class WalkRegularizer(Regularizer):
    """The regularizer of `RW`."""

    def __init__(self, method: RW, net: nn.Module, state: State):
        before = part(state, "fisher")
        self.score_before = part(state, "score")
        fisher, score = scaled(before), scaled(self.score_before)
        weights = {name: fisher[name] + score[name] for name in score}
        self.penalty = QuadraticPenalty(method.importance, net, weights)
        self.alpha, self.every = method.alpha, method.every
        self.fisher = fisher_from(net, before)
        self.score = {name: torch.zeros_like(p) for name, p in self.penalty.start.items()}
        self.last: Named = {}
        self.iteration = 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        parameters = dict(net.named_parameters())
        for name, grad in gradients(net):
            if self.iteration % self.every == 0:
                if name in self.last:
                    moved = self.last[name] - parameters[name]
                    length = 0.5 * self.fisher[name] * moved.square() + 1e-8
                    self.score[name] += grad * moved / length
                self.last[name] = parameters[name].detach().clone()
            self.fisher[name].lerp_(grad.square(), self.alpha)
        self.iteration += 1

    def add_penalty_gradient(self, net: nn.Module) -> Tensor | None:
        return self.penalty.add_gradient(net)

    @torch.no_grad()
    def final_state(self, net: nn.Module) -> State:
        score = {}
        for name, gathered in self.score.items():
            score[name] = torch.where(gathered >= 0, gathered, 0.0)
            if name in self.score_before:
                score[name] = 0.5 * (score[name] + self.score_before[name].to(gathered.device))
        return joined(score=score, fisher=self.fisher)

    def state(self) -> State:
        count = {"iteration": torch.tensor(self.iteration)}
        return joined(score=self.score, fisher=self.fisher, last=self.last, count=count)

    def restore(self, state: State) -> None:
        start = self.penalty.start
        self.score, self.fisher, self.last = (on_device(part(state, key), start) for key in ("score", "fisher", "last"))
        self.iteration = int(state["count/iteration"])


def joined(**kinds: Named) -> State:
    """One flat state of several kinds of tensors: "kind/parameter"."""
    return {f"{kind}/{name}": tensor for kind, named in kinds.items() for name, tensor in named.items()}


def part(state: Mapping[str, Tensor], kind: str) -> Named:
    """The tensors of one kind by parameter: undoes ``joined``; empty where the state has none."""
    return {name.removeprefix(f"{kind}/"): tensor for name, tensor in state.items() if name.startswith(f"{kind}/")}


def gradients(net: nn.Module) -> list[tuple[str, Tensor]]:
    """The gradients by parameter, without those that have none."""
    return [(name, p.grad) for name, p in net.named_parameters() if p.grad is not None]


def fisher_from(net: nn.Module, before: Named) -> Named:
    """The moving average that a step begins with: the last step's, and 1 for new parameters."""
    return {n: before[n].to(p.device).clone() if n in before else torch.ones_like(p) for n, p in net.named_parameters()}


def scaled(tensors: Named) -> Named:
    """Each tensor from 0 at its smallest to 1 at its largest value."""
    return {name: (t - t.min()) / (t.max() - t.min() + 1e-8) for name, t in tensors.items()}


def on_device(tensors: Named, start: Named) -> Named:
    """The tensors on the device of the parameters."""
    return {name: t.to(start[name].device) for name, t in tensors.items()}
