"""Tensors compared."""

import torch
from torch import Tensor


def close(found: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    """Assert that two tensors agree, gradients left aside."""
    torch.testing.assert_close(found.detach(), expected.detach(), rtol=1e-5, atol=atol)
