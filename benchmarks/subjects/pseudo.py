"""Pseudo-labels of a batch, and the thresholds' pass over it: 16 channels at 512 pixels."""

from functools import partial

import torch
from torch import Tensor

from benchmarks import known
from benchmarks.references import pseudo as plain
from benchmarks.timing import Contender, Effort, Row, interleaved
from plopkit.model.upsampling import upsample
from plopkit.pseudo import Thresholds, pseudo_label, released_thresholds

BARS = {"pseudo-label": 0.72, "thresholds": 0.9}
N_OLD, N_SEEN = 16, 21


def inputs(
    size: int, batch: int, device: str = "cpu", n_old: int = N_OLD, n_seen: int = N_SEEN
) -> tuple[Tensor, Tensor]:
    """A teacher's logits, upsampled as a run's are, and targets: mostly background, some ignored pixels."""
    generator = torch.Generator().manual_seed(0)
    side = max(size // 16, 2)
    small = 4 * torch.randn(batch, n_old, side, side, generator=generator)
    small[:, 0] += 2
    small = small.contiguous(memory_format=torch.channels_last).to(device)
    logits = upsample(small, (size, size))
    target = torch.zeros(batch, size, size, dtype=torch.long)
    target[:, size // 4 : size // 2, size // 4 :] = n_old + (n_seen > n_old + 1)
    target[:, size // 4] = 255
    return logits, target.to(device)


def contenders(size: int = 512, batch: int = 2, device: str = "cpu") -> dict[str, dict[str, Contender]]:
    """By subject; each contender returns tensors."""
    logits, target = inputs(size, batch, device)
    first = logits.contiguous()  # published logits are channels first
    limits = released_thresholds([(logits, target)], N_OLD, N_SEEN)
    return {
        "pseudo-label": {
            "ours": partial(_ours, logits, target, limits),
            "reference": partial(plain.pseudo_label, first, target, N_OLD, limits.values),
        },
        "thresholds": {
            "ours": lambda: released_thresholds([(logits, target)], N_OLD, N_SEEN).values,
            "reference": partial(plain.thresholds, [(first, target)], N_OLD, N_SEEN),
        },
    }


@torch.no_grad()
def _ours(logits: Tensor, target: Tensor, limits: Thresholds) -> tuple[Tensor, Tensor]:
    labels = pseudo_label(logits, target, N_OLD, limits)
    return labels.target, labels.factor


def measure(effort: Effort) -> list[Row]:
    """A row each."""
    cuda = effort.device == "cuda"
    published = {"pseudo-label": known.PSEUDO_LABEL, "thresholds": known.THRESHOLDS}
    rows = []
    for name, pair in contenders(batch=24 if cuda else 2, device=effort.device).items():
        times = interleaved(pair, effort.rounds(25, 9), warmup=2, device=effort.device)
        figure = None if cuda else published[name]
        rows.append(Row(name, times["ours"], times["reference"], bar=BARS[name], published=figure))
    return rows
