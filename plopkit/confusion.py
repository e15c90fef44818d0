"""The confusion matrix of predictions and targets, which all metrics are computed from."""

import torch
from jaxtyping import Integer
from torch import Tensor

from plopkit.scenario import ignored_id


def confusion(
    prediction: Integer[Tensor, "*shape"], target: Integer[Tensor, "*shape"], n: int
) -> Integer[Tensor, "{n} {n}"]:
    """Count pixels by target and prediction.

    Args:
        prediction: Channels.
        target: Channels; pixels of 255 are ignored (of 65535 where n > 255).
        n: Number of channels.

    Returns:
        (n, n) int64; rows are targets, columns predictions.

    Raises:
        ValueError: A channel is not below n.
    """
    mask = target != ignored_id(n)
    cells = target[mask].long() * (n + 1) + prediction[mask].long().clamp(max=n)  # the last column: predictions >= n
    counts = torch.bincount(cells, minlength=n * (n + 1))
    if len(counts) > n * (n + 1) or (counts := counts.view(n, n + 1))[:, n].any():
        raise ValueError(f"channels go from 0 to {n - 1} here, and some are larger; n is the number of all channels")
    return counts[:, :n].contiguous()
