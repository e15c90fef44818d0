"""Local POD as published: both maps are squared and embedded, region by region."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def embedding(x: Tensor, scales: Sequence[int] = (1, 2, 4)) -> Tensor:
    """The means over columns and rows of all regions of a map (B, C, H, W), flattened and joined: (B, D)."""
    batch, width = x.shape[0], x.shape[-1]
    pieces = []
    for scale in scales:
        side = width // scale
        for row in range(scale):
            for column in range(scale):
                region = x[..., row * side : (row + 1) * side, column * side : (column + 1) * side]
                pieces.append(region.mean(dim=3).reshape(batch, -1))
                pieces.append(region.mean(dim=2).reshape(batch, -1))
    return torch.cat(pieces, dim=1)


def distance(new: Tensor, old: Tensor, scales: Sequence[int] = (1, 2, 4)) -> Tensor:
    """The norm of the difference between the embeddings of the squared maps, averaged over the batch."""
    difference = embedding(new.pow(2), scales) - embedding(old.pow(2), scales)
    return torch.linalg.vector_norm(difference, dim=-1).mean()


def folded(logits: Tensor, n_old: int) -> Tensor:
    """The teacher's channels: the new channels' logits are added to the background's."""
    kept = torch.zeros_like(logits[:, :n_old])
    kept[:, 0] = logits[:, 0] + logits[:, n_old:].sum(dim=1)
    kept[:, 1:] = logits[:, 1:n_old]
    return kept


def loss(
    new: Sequence[Tensor],
    old: Sequence[Tensor],
    new_small: Tensor,
    old_small: Tensor,
    weights: tuple[float, float] = (0.01, 0.0005),
) -> Tensor:
    """PLOP's whole term: that of the maps and that of the logits, averaged, times the root of classes per new class."""
    n_old, n_seen = old_small.shape[1], new_small.shape[1]
    terms = [weights[0] * distance(a.float(), b.float()) for a, b in zip(new, old, strict=True)]
    terms.append(weights[1] * distance(folded(new_small, n_old).float(), old_small.float()))
    return math.sqrt(n_seen / (n_seen - n_old)) * sum(terms) / len(terms)
