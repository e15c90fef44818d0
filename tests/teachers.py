"""A made-up teacher's logits with a target and the truth, for the tests of lesson 09."""

import torch
from torch import Tensor

from plopkit.scenario import IGNORE

NAMES = [f"class {channel}" for channel in range(6)]


def draw(seed: int = 0, n_old: int = 4, n_seen: int = 6) -> tuple[Tensor, Tensor, Tensor]:
    """A teacher's logits, a target of background, new channels and 255, and true channels."""
    generator = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(2, n_old, 12, 9, generator=generator)
    kind = torch.rand(2, 12, 9, generator=generator)
    target = torch.where(kind < 0.7, 0, torch.where(kind < 0.9, n_seen - 1, IGNORE))
    true = torch.randint(n_old, (2, 12, 9), generator=generator)
    truth = torch.where(kind < 0.4, logits.argmax(1), torch.where(kind < 0.65, true, target))
    return logits, target, truth
