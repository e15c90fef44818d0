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
    # One row more for targets >= n, one for ignored pixels, one column more for predictions >= n.
    target = target.long()
    row = torch.where(target == ignored_id(n), n + 1, target.clamp(max=n))
    cells = row * (n + 1) + prediction.long().clamp(max=n)
    counts = torch.bincount(cells.flatten(), minlength=(n + 2) * (n + 1)).view(n + 2, n + 1)
    if counts[n].any() or counts[:n, n].any():
        raise ValueError(f"channels go from 0 to {n - 1} here, and some are larger; n is the number of all channels")
    return counts[:n, :n].contiguous()
