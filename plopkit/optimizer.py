"""The optimiser of a step, and its learning rate."""

from typing import Any

import torch
from torch import Tensor
from torch.optim import SGD, AdamW, Optimizer

from plopkit.model.segmenter import Segmenter
from plopkit.settings import Optim

FUSED = frozenset({"cuda"})
"""Where SGD is fused: it also skips an overflow of half precision without asking the host. A CPU gains nothing."""
WARMUP_START = 0.001
"""Factor of the learning rate with which a warm-up begins."""


def make_optimizer(net: Segmenter, optim: Optim, lr: float, groups: list[dict[str, Any]] | None = None) -> Optimizer:
    """The optimiser of the settings. What is in no group is frozen: it gets no gradient.

    Args:
        net: its parameters in one group, as published: weight decay on biases and norms too.
        optim: the settings.
        lr: the learning rate.
        groups: parameter groups as `Method.parameter_groups` returns them, in place of that single group.

    Raises:
        ValueError: where there is nothing to train, or a parameter is in two groups.
    """
    if groups is None:
        groups = [{"params": list(net.parameters())}]
    groups = [group | {"params": parameters_of(group)} for group in groups]
    trained = {id(parameter) for group in groups for parameter in group["params"]}
    if not trained:
        raise ValueError("the parameter groups have no parameter, so there is nothing to train")
    for parameter in net.parameters():
        if id(parameter) not in trained:
            parameter.requires_grad_(False)
    nesterov, decay = optim.momentum > 0, optim.weight_decay
    devices = {p.device.type for group in groups for p in group["params"]}
    if optim.name == "adamw":
        return AdamW(groups, lr, weight_decay=decay, fused=devices <= {"cpu", "cuda"} or None)
    fused = devices <= FUSED or None
    optimizer = SGD(groups, lr, momentum=optim.momentum, nesterov=nesterov, weight_decay=decay, fused=fused)
    fill_buffers(optimizer)
    return optimizer


def fill_buffers(optimizer: Optimizer) -> None:
    """Give fused SGD the momentum buffers that it lacks, in place; other optimisers are left as they are.

    torch's kernel skips an overflow, but in the first iteration it leaves its new buffers uninitialised, perhaps NaN.
    With buffers of zeros the first iteration is the same.
    """
    groups = optimizer.param_groups if isinstance(optimizer, SGD) else []
    fused = [parameter for group in groups if group["fused"] and group["momentum"] for parameter in group["params"]]
    for parameter in fused:
        if parameter.requires_grad and optimizer.state[parameter].get("momentum_buffer") is None:
            optimizer.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)


def parameters_of(group: dict[str, Any]) -> list[Tensor]:
    """A group's parameters; like torch, takes a single one too, and an iterator, which can be read once only."""
    params = group["params"]
    return [params] if isinstance(params, Tensor) else list(params)


def poly(lr: float, iteration: int, n_iterations: int, power: float = 0.9, warmup: float = 0.0) -> float:
    """The poly schedule: lr (1 − iteration / n_iterations) ** power.

    With a warm-up, it is multiplied by a factor that rises linearly from 0.001 to 1 over the first ``warmup`` of the
    iterations.
    """
    rate = lr * (1 - iteration / n_iterations) ** power
    rising = int(warmup * n_iterations)
    if iteration >= rising:
        return rate
    risen = iteration / rising
    return rate * (WARMUP_START * (1 - risen) + risen)


def set_lr(optimizer: Any, lr: float, floor: float = 0.0) -> None:
    """The learning rate of this iteration, times each group's ``lr_scale``, and no group's below the floor."""
    for group in optimizer.param_groups:
        group["lr"] = max(lr * group.get("lr_scale", 1.0), floor)
