"""Compute sums in float32 or better, whatever the nets compute in."""

import torch
from torch import Tensor


def at_least_float32(x: Tensor) -> Tensor:
    """At least float32: half-precision sums lose digits, squares overflow it; float64 stays float64."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


WITHOUT_DOUBLE = ("mps",)
"""Kinds of devices that have no float64: Apple's."""


def doubled(x: Tensor) -> Tensor:
    """In float64; on the CPU where the device has none. Nothing else in plopkit makes a tensor of float64."""
    return (x.cpu() if x.device.type in WITHOUT_DOUBLE else x).double()
