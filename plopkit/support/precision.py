"""Compute sums in float32 or better, whatever the nets compute in."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """At least float32: half-precision sums lose digits, squares overflow it; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
