"""Upsampling logits to the image and their cross-entropy, forward and backward: 21 channels, 32 to 512 pixels."""

from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.references import net as plain
from benchmarks.timing import Contender, Effort, Row, interleaved
from plopkit.losses import cross_entropy
from plopkit.model.segmenter import Segmenter

BAR = 1.0
N_SEEN = 21


class OnlyUpsampling(Segmenter, kind="benchmark"):
    """A net whose parts give fixed logits, so that only `Segmenter.forward`'s own work is left."""

    slope_of_maps = 1.0

    def __init__(self, small: Tensor):
        nn.Module.__init__(self)
        self.small = small

    def encode(self, image: Tensor) -> Any:
        return (), image

    def decode(self, encoded: Tensor) -> Tensor:
        return encoded

    def classify(self, head: Tensor) -> Tensor:
        return self.small


def contenders(size: int = 512, batch: int = 2, n_seen: int = N_SEEN, device: str = "cpu") -> dict[str, Contender]:
    """The mean cross-entropy and its gradient for the small logits."""
    generator = torch.Generator().manual_seed(0)
    small = 4 * torch.randn(batch, n_seen, size // 16, size // 16, generator=generator).to(device)
    target = torch.randint(0, min(n_seen, 255), (batch, size, size), generator=generator)
    target[:, : size // 8] = 255
    target = target.to(device)
    image = torch.zeros(batch, 3, size, size, device=device)
    ours = small.clone(memory_format=torch.channels_last).requires_grad_()
    first = small.clone(memory_format=torch.contiguous_format).requires_grad_()
    net = OnlyUpsampling(ours)

    def our_loss() -> list[Tensor]:
        loss = cross_entropy(net(image).logits, target).mean()
        return [loss.detach(), *torch.autograd.grad(loss, ours)]

    def plain_loss() -> list[Tensor]:
        loss = plain.cross_entropy(plain.upsampled(first, (size, size)), target).mean()
        return [loss.detach(), *torch.autograd.grad(loss, first)]

    return {"ours": our_loss, "reference": plain_loss}


def measure(effort: Effort) -> list[Row]:
    """One row."""
    batch = 24 if effort.device == "cuda" else 2
    pair = contenders(batch=batch, device=effort.device)
    times = interleaved(pair, effort.rounds(25, 9), warmup=2, device=effort.device)
    return [Row("upsampling and cross-entropy", times["ours"], times["reference"], bar=BAR)]
