"""Methods that hold important parameters where they were: EWC, path integral, Riemannian walk.

The arithmetic is that of MiB's code, which CVPR2021_PLOP uses with a weight of 100. In all three the penalty is
Σ w (θ - θ*)² with θ* the parameters when the step began; they differ in the importance w. It is gathered while a step
is trained, step 0 included, from the gradients of the other losses, and scaled to 0 … 1 in each tensor before its use.
"""

from abc import abstractmethod
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from plopkit.losses import cross_entropy
from plopkit.methods.base import Memory, Method, Watcher
from plopkit.model.segmenter import Output
from plopkit.scenario import Step

Named = dict[str, Tensor]


class _Regularised(Method):
    """Cross-entropy, and a watcher that pulls the parameters back."""

    needs_teacher = False
    balanced = False
    own_first_step = True

    @abstractmethod
    def watcher(self, net: nn.Module, memory: Memory | None) -> Watcher: ...

    def losses(self, out: Output, old: Output | None, target: Tensor, step: Step, prepared: Any) -> dict[str, Tensor]:
        return {"ce": cross_entropy(out.logits, target).mean()}


class EWC(_Regularised):
    """Elastic weight consolidation, online: importance is a moving average of squared gradients."""

    name = "ewc"
    title = "EWC"
    source = "Kirkpatrick et al., PNAS 2017"

    importance: float = Field(100.0, ge=0, description="weight of the penalty (MiB's code: 500)")
    alpha: float = Field(0.9, ge=0, le=1, description="share of the newest squared gradient in the moving average")

    def watcher(self, net: nn.Module, memory: Memory | None) -> Watcher:
        return _EWC(self, net, memory)


class PI(_Regularised):
    """Path integral (synaptic intelligence): importance is how much a parameter's way lowered the loss."""

    name = "pi"
    title = "PI"
    source = "Zenke et al., ICML 2017"

    importance: float = Field(100.0, ge=0, description="weight of the penalty (MiB's code: 500)")

    def watcher(self, net: nn.Module, memory: Memory | None) -> Watcher:
        return _PI(self, net, memory)


class RW(_Regularised):
    """Riemannian walk: the Fisher information of EWC plus the path's score in its metric."""

    name = "rw"
    title = "RW"
    source = "Chaudhry et al., ECCV 2018"

    importance: float = Field(100.0, ge=0, description="weight of the penalty")
    alpha: float = Field(0.9, ge=0, le=1, description="share of the newest squared gradient in the moving average")
    every: int = Field(10, ge=1, description="iterations between two looks at the path")

    def watcher(self, net: nn.Module, memory: Memory | None) -> Watcher:
        return _RW(self, net, memory)


class _Pull(Watcher):
    """The penalty that the three share. ``weights``: None in step 0, where nothing is known yet."""

    def __init__(self, importance: float, net: nn.Module, weights: Named | None):
        self.importance = importance
        self.start = {name: p.detach().clone() for name, p in net.named_parameters()}
        device = next(net.parameters()).device
        self.weights = None if weights is None else {name: w.to(device) for name, w in weights.items()}

    @torch.no_grad()
    def pull(self, net: nn.Module) -> Tensor | None:
        if self.weights is None:
            return None
        terms = []
        for name, p in net.named_parameters():
            if name in self.weights:
                away = p - self.start[name]
                held = self.weights[name] * away
                terms.append((held * away).sum())
                if p.grad is not None:
                    p.grad.add_(held, alpha=2 * self.importance)
        return self.importance * torch.stack(terms).sum()


class _EWC(_Pull):
    def __init__(self, method: EWC, net: nn.Module, memory: Memory | None):
        super().__init__(method.importance, net, _scaled(memory["fisher"]) if memory else None)
        self.alpha = method.alpha
        self.fisher = _fisher(net, memory)

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        for name, grad in _gradients(net):
            self.fisher[name].lerp_(grad.square(), self.alpha)

    def memory(self, net: nn.Module) -> Memory:
        return {"fisher": self.fisher}

    def state(self) -> Memory:
        return {"fisher": self.fisher}

    def restore(self, state: Memory) -> None:
        self.fisher = _like(state["fisher"], self.start)


class _PI(_Pull):
    def __init__(self, method: PI, net: nn.Module, memory: Memory | None):
        super().__init__(method.importance, net, _scaled(memory["score"]) if memory else None)
        self.score_before = {} if memory is None else memory["score"]
        self.path = {name: torch.zeros_like(p) for name, p in self.start.items()}
        self.last: Named = {}

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        parameters = dict(net.named_parameters())
        for name, grad in _gradients(net):
            if name in self.last:
                self.path[name] += grad * (self.last[name] - parameters[name])
            self.last[name] = parameters[name].detach().clone()

    @torch.no_grad()
    def memory(self, net: nn.Module) -> Memory:
        score = {}
        for name, p in net.named_parameters():
            found = self.path[name] / ((p - self.start[name]).square() + 1e-20)
            score[name] = torch.where(found > 0, found, 0.0)
            if name in self.score_before:
                score[name] += self.score_before[name].to(p.device)
        return {"score": score}

    def state(self) -> Memory:
        return {"path": self.path, "last": self.last}

    def restore(self, state: Memory) -> None:
        self.path, self.last = (_like(state[key], self.start) for key in ("path", "last"))


class _RW(_Pull):
    def __init__(self, method: RW, net: nn.Module, memory: Memory | None):
        weights = None
        if memory is not None:
            fisher, score = _scaled(memory["fisher"]), _scaled(memory["score"])
            weights = {name: fisher[name] + score[name] for name in score}
        super().__init__(method.importance, net, weights)
        self.alpha = method.alpha
        self.every = method.every
        self.score_before = {} if memory is None else memory["score"]
        self.fisher = _fisher(net, memory)
        self.score = {name: torch.zeros_like(p) for name, p in self.start.items()}
        self.last: Named = {}
        self.iteration = 0

    @torch.no_grad()
    def update(self, net: nn.Module) -> None:
        parameters = dict(net.named_parameters())
        for name, grad in _gradients(net):
            if self.iteration % self.every == 0:
                if name in self.last:
                    way = self.last[name] - parameters[name]
                    length = 0.5 * self.fisher[name] * way.square() + 1e-8
                    self.score[name] += grad * way / length
                self.last[name] = parameters[name].detach().clone()
            self.fisher[name].lerp_(grad.square(), self.alpha)
        self.iteration += 1

    @torch.no_grad()
    def memory(self, net: nn.Module) -> Memory:
        score = {}
        for name, found in self.score.items():
            score[name] = torch.where(found >= 0, found, 0.0)
            if name in self.score_before:
                score[name] = 0.5 * (score[name] + self.score_before[name].to(found.device))
        return {"score": score, "fisher": self.fisher}

    def state(self) -> Memory:
        count = {"iteration": torch.tensor(self.iteration)}
        return {"score": self.score, "fisher": self.fisher, "last": self.last, "count": count}

    def restore(self, state: Memory) -> None:
        self.score, self.fisher, self.last = (_like(state[key], self.start) for key in ("score", "fisher", "last"))
        self.iteration = int(state["count"]["iteration"])


def _gradients(net: nn.Module) -> list[tuple[str, Tensor]]:
    return [(name, p.grad) for name, p in net.named_parameters() if p.grad is not None]


def _fisher(net: nn.Module, memory: Memory | None) -> Named:
    """The moving average as it stands; 1 for parameters that are new."""
    known = {} if memory is None else memory["fisher"]
    return {n: known[n].to(p.device).clone() if n in known else torch.ones_like(p) for n, p in net.named_parameters()}


def _scaled(tensors: Named) -> Named:
    """Each tensor from 0 at its smallest to 1 at its largest value."""
    return {name: (t - t.min()) / (t.max() - t.min() + 1e-8) for name, t in tensors.items()}


def _like(tensors: Named, start: Named) -> Named:
    return {name: t.to(start[name].device) for name, t in tensors.items()}
