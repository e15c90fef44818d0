"""Pseudo-labels and thresholds by plain loops, and the golden files about them."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from plopkit import pseudo
from plopkit.pseudo import Thresholds
from plopkit.scenario import IGNORE

CASES = ("confident", "hesitant", "mixed")
FOLDER = Path(__file__).parent / "golden"
GOLDEN = np.load(FOLDER / "pseudo.npz")
LOSSES = np.load(FOLDER / "losses.npz")


def golden(case: str, name: str) -> Tensor:
    return torch.from_numpy(GOLDEN[f"{case}/{name}"])


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0, equal_nan=True)


def golden_batches(case: str) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(golden(case, "logits_old"), golden(case, "labels"), strict=True)


def draw_batch(seed: int, n_old: int, n_seen: int, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    b, h, w = shape
    logits = torch.randn(b, n_old, h, w, generator=generator) * 4 * torch.rand(b, 1, h, w, generator=generator)
    target = torch.randint(n_old, n_seen, shape, generator=generator)
    kind = torch.rand(shape, generator=generator)
    target[kind < 0.7] = 0
    target[kind < 0.1] = IGNORE
    return logits, target


def plain_entropy(logits: list[float]) -> float:
    powers = [math.exp(v) for v in logits]
    return -sum(p / sum(powers) * math.log(p / sum(powers)) for p in powers)


def plain_median(logits: Tensor, target: Tensor, channel: int) -> float:
    uncertainties = [
        plain_entropy(logits[i, :, y, x].tolist()) / math.log(logits.shape[1])
        for i, y, x in (target == 0).nonzero().tolist()
        if logits[i, :, y, x].argmax() == channel
    ]
    return sorted(uncertainties)[(len(uncertainties) - 1) // 2] if uncertainties else 0.0


def plain_released_median(counts: list[int]) -> float:
    """The released median of a class's 100 counts: `running` grows by the index of the bin."""
    total, running = sum(counts), 0
    if total == 0:
        return 0.0
    for i in range(100):
        count = counts[{29: 28, 57: 56, 58: 57}.get(i, i)]
        if running <= total / 2 <= running + count:
            break
        running += i
    rest = total / 2 - running
    if count == 0:
        return math.nan if rest == 0 else math.copysign(math.inf, rest)
    return i / 100 + rest / count / 100


def plain_pseudo_label(logits: Tensor, target: Tensor, n_old: int, thresholds: Thresholds) -> tuple[Tensor, Tensor]:
    uncertainty, out, factors = thresholds.uncertainty(logits), target.clone(), []
    for i in range(len(target)):
        confident = background = 0
        for y in range(target.shape[1]):
            for x in range(target.shape[2]):
                if target[i, y, x] >= n_old:
                    continue
                channel = int(logits[i, :, y, x].argmax())
                is_confident = bool(uncertainty[i, y, x] < thresholds.values[channel])
                background, confident = background + 1, confident + is_confident
                out[i, y, x] = channel if is_confident else IGNORE
        factors.append(confident / (background + 1e-6))
    return out, torch.tensor(factors)


def two_channels(uncertainties: Tensor) -> Tensor:
    """Logits (1, 2, 1, N), larger in channel 0, with uncertainties as close as possible to these."""
    gap = torch.linspace(12, 1e-3, 200_000)
    reached = pseudo.uncertainty(torch.stack([gap, -gap]).view(1, 2, 1, -1)).flatten()
    gap = gap[torch.searchsorted(reached, uncertainties).clamp(max=len(gap) - 1)]
    return torch.stack([gap, -gap]).view(1, 2, 1, -1)
