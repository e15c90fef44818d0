"""POD, forward and backward, on the maps of a ResNet-101 at 512 pixels: channels last, as a run has them."""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from benchmarks import known
from benchmarks.references import pod as plain
from benchmarks.timing import Contender, Effort, Row, interleaved
from plopkit.methods import PLOP
from plopkit.model.segmenter import Output
from plopkit.scenario import Scenario

BAR = 0.12
STEP = Scenario.parse("voc 15-5 overlap").steps[1]


def contenders(size: int = 512, batch: int = 2, width: int = 1, device: str = "cpu") -> dict[str, Contender]:
    """The whole term of PLOP and its gradients, by `PLOP.pod_loss` and by the reference.

    Args:
        size: side of the images.
        batch: number of images.
        width: the maps' channels are divided by it.
        device: where to compute.
    """
    generator = torch.Generator().manual_seed(0)
    shapes = [(256, 4), (512, 8), (1024, 16), (2048, 16), (256, 16)]

    def maps(n_channels: int) -> list[Tensor]:
        drawn = [(channels // width, size // stride) for channels, stride in shapes] + [(n_channels, size // 16)]
        return [torch.randn(batch, c, side, side, generator=generator).to(device) for c, side in drawn]

    new, old = maps(STEP.n_seen), maps(STEP.n_old)

    def laid_out(tensors: Sequence[Tensor], memory_format: torch.memory_format, grad: bool) -> list[Tensor]:
        return [t.clone(memory_format=memory_format).requires_grad_(grad) for t in tensors]

    last = torch.channels_last
    ours, teachers = laid_out(new, last, True), laid_out(old, last, False)
    first, first_teachers = laid_out(new, torch.contiguous_format, True), laid_out(old, torch.contiguous_format, False)
    method = PLOP()

    def output(tensors: list[Tensor]) -> Output:
        *stages, head, small = tensors
        return Output(small, small, tuple(stages), None, head)

    def our_loss() -> Tensor:
        return method.pod_loss(output(ours), output(teachers), STEP)

    def plain_loss() -> Tensor:
        return plain.loss(first[:-1], first_teachers[:-1], first[-1], first_teachers[-1])

    return {"ours": partial(_gradients, our_loss, ours), "reference": partial(_gradients, plain_loss, first)}


def _gradients(loss: Contender, maps: list[Tensor]) -> list[Tensor]:
    value = loss()
    return [value.detach(), *torch.autograd.grad(value, maps)]


def measure(effort: Effort) -> list[Row]:
    """One row."""
    batch = 24 if effort.device == "cuda" else 2
    times = interleaved(contenders(batch=batch, device=effort.device), effort.rounds(15, 5), device=effort.device)
    published = known.POD if effort.device == "cpu" else None
    return [Row("POD, forward and backward", times["ours"], times["reference"], bar=BAR, published=published)]
