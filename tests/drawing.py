"""Numbers drawn from a seed."""

import torch
from torch import Tensor


def draw(seed: int, *shape: int) -> Tensor:
    """Standard normal."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
