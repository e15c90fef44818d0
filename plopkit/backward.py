"""The gradients of one batch, computed in parts and across processes with exactly the same total.

A term that is a mean over images adds up by each part's share of the batch. A term given as a pair (sum, count) can
be divided only once all parts and processes are counted, so its gradient is accumulated separately.
"""

import contextlib
from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from plopkit.compute import num_micro_batches, summed
from plopkit.methods.base import Term, Whole

Losses = Callable[[Tensor, Tensor], Mapping[str, Term]]
"""Images and targets of a part of a batch -> its terms by name."""


class Ratio:
    """A term (sum, count), added up over the parts of a batch: value, divisor and the sum's gradient."""

    def __init__(self, parameters: list[nn.Parameter], divisor: int):
        self.parameters = parameters
        self.divisor = divisor
        """of the sum until it is divided by the count; 1 for none"""
        self.total: Tensor | float = 0.0
        self.count: Tensor | float = 0.0
        self.gradients: list[Tensor] = []

    def add(self, total: Tensor, count: Tensor, accelerator: Accelerator) -> None:
        """Add a part's sum, with its gradient, and its count."""
        scaled = total / self.divisor
        if accelerator.scaler is not None:
            scaled = accelerator.scaler.scale(scaled)
        gradients = torch.autograd.grad(scaled, self.parameters, retain_graph=True, allow_unused=True)
        new = [torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, gradients, strict=True)]
        self.gradients = [a.add_(b) for a, b in zip(self.gradients, new, strict=True)] if self.gradients else new
        self.total, self.count = self.total + total.detach().float(), self.count + count.detach().float()

    def finish(self, accelerator: Accelerator) -> Tensor:
        """Add the term's gradient, over all processes, to the parameters'; returns its value."""
        pair = torch.stack([torch.as_tensor(self.total), torch.as_tensor(self.count)]).to(accelerator.device)
        total, count = summed(pair, accelerator)
        count = at_least_one(count)
        for parameter, gradient in zip(self.parameters, self.gradients, strict=True):
            share = summed(gradient, accelerator) / (count / self.divisor)
            parameter.grad = share if parameter.grad is None else parameter.grad.add_(share)
        return total / count


def backward(
    losses: Losses,
    net: Any,
    accelerator: Accelerator,
    image: Tensor,
    target: Tensor,
    sizes: list[int],
    micro_batch: int | None,
) -> dict[str, Tensor]:
    """Add a batch's gradients to the parameters', part by part.

    Args:
        losses: gives the terms of a part.
        net: the net as Accelerate prepared it.
        accelerator: device, precision and processes.
        image, target: this process's images and targets.
        sizes: number of images of each process.
        micro_batch: largest number of images that go through the net at once; None for all.

    Returns:
        The terms of the whole batch, over all processes, by name, on the device.

    Raises:
        ValueError: where a term cannot be added up from parts and there is more than one.
    """
    # Every process cuts its images into as many parts as the one with the most: they go through batch norm together.
    parts = num_micro_batches(max(sizes), micro_batch)
    means: dict[str, Tensor] = {}
    ratios: dict[str, Ratio] = {}
    parameters = [p for p in net.parameters() if p.requires_grad]
    divisor = 1 if accelerator.scaler is None else target.numel()  # a sum over all pixels would overflow half precision
    for number, (images, targets) in enumerate(zip(image.tensor_split(parts), target.tensor_split(parts), strict=True)):
        share = len(images) * len(sizes) / sum(sizes)  # of the batch; the mean over the processes makes it whole
        last = number == parts - 1
        with contextlib.nullcontext() if last else accelerator.no_sync(net):  # processes add up once, at the end
            terms = losses(images, targets)
            check_divisible(terms, parts, len(sizes))
            shared: list[Tensor] = []  # means: each part adds by its share of the batch
            exact: list[Tensor] = []  # pairs of a batch in one part: divided by all processes' count at once
            for name, term in terms.items():
                if isinstance(term, tuple) and not isinstance(term, Whole):
                    if parts > 1:
                        ratios.setdefault(name, Ratio(parameters, divisor)).add(*term, accelerator)
                        continue
                    exact.append(len(sizes) * term[0] / at_least_one(summed(term[1].detach(), accelerator)))
                    means[name] = exact[-1].detach().float()
                else:
                    shared.append(term.value if isinstance(term, Whole) else term)
                    means[name] = means.get(name, 0.0) + share * shared[-1].detach().float()
            if ratios:  # several processes wait for a gradient of every parameter, and the pairs' are added later
                exact.append(0.0 * torch.stack([p.sum() for p in parameters]).sum())
            accelerator.backward(total_of(shared, exact, share))
    values = averaged(means, accelerator) | {name: ratio.finish(accelerator) for name, ratio in ratios.items()}
    return {name: values[name] for name in terms}


def at_least_one(count: Tensor) -> Tensor:
    """A divisor: where nothing was counted the sum is 0, and so is the term."""
    return torch.where(count > 0, count, torch.ones_like(count))


def value_of(term: Term) -> Tensor:
    """What a term of a whole batch adds to the loss."""
    if isinstance(term, Whole):
        return term.value
    return term[0] / at_least_one(term[1]) if isinstance(term, tuple) else term


def total_of(shared: list[Tensor], exact: list[Tensor], share: float) -> Tensor:
    """What a part adds to the loss."""
    sums = [share * torch.stack(shared).sum()] if shared else []
    sums += [torch.stack(exact).sum()] if exact else []
    return sums[0] if len(sums) == 1 else sums[0] + sums[1]


def check_terms(terms: Mapping[str, Any]) -> None:
    """ValueError where a method's terms are not as `Term` says."""
    if not terms:
        raise ValueError("its losses give no term")
    for name, term in terms.items():
        values = term if isinstance(term, tuple) else (term,)
        if wrong := [value for value in values if not isinstance(value, Tensor) or value.ndim]:
            shown = f"of shape {tuple(wrong[0].shape)}" if isinstance(wrong[0], Tensor) else type(wrong[0]).__name__
            raise ValueError(f"the loss term {name!r} is a tensor without dimensions, or a pair of them, not {shown}")


def check_divisible(terms: Mapping[str, Term], parts: int, processes: int) -> None:
    """ValueError where a term cannot be added up from several parts of a batch."""
    for name, term in terms.items():
        if isinstance(term, Whole) and parts * processes > 1:
            remedy = "leave out compute.micro_batch, or lower optim.batch" if parts > 1 else "use one process"
            raise ValueError(
                f"the loss term {name!r} compares all images of a batch and cannot be computed part by part; {remedy}"
            )


def averaged(values: dict[str, Tensor], accelerator: Accelerator) -> dict[str, Tensor]:
    """The mean over all processes."""
    if accelerator.num_processes == 1:
        return values
    return {name: accelerator.reduce(value, "mean") for name, value in values.items()}
