"""Random tensors from a seed."""

import torch
from torch import Tensor


def draw(seed: int, *shape: int) -> Tensor:
    """A tensor of standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
