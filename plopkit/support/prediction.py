"""The channel that a net predicts."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from plopkit.support.chunks import by_chunks


def predicted_channel(logits: Float[Tensor, "B C H W"]) -> Int[Tensor, "B H W"]:
    """The channel with the largest logit, the first of equal ones: ``logits.argmax(dim=1)``, in a fifth of its time.

    A pixel with NaN gets any channel.
    """
    if logits.device.type == "cpu" and logits.is_contiguous():
        return by_chunks(_first_largest, logits.detach())
    return logits.max(dim=1).indices


def _first_largest(logits: Tensor) -> Tensor:
    # Of the channels that equal the maximum, numbered from C down to 1, the first has the largest number. On a CPU,
    # torch computes this with vector instructions; `argmax` and `max` with indices only where channels are innermost.
    n = logits.shape[1]
    numbers = torch.arange(n, 0, -1, dtype=torch.int16 if n < 2**15 else torch.int32)[:, None, None]
    largest = logits == logits.amax(dim=1, keepdim=True)
    return (n - (largest.to(numbers.dtype) * numbers).amax(dim=1).long()).clamp(max=n - 1)
