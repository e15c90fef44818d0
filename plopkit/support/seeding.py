"""Derive one seed from several numbers, and seed torch's generator temporarily."""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """Seed torch's CPU generator with these numbers inside the context; restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(*parts))
        yield


def seed_of(*parts: int) -> int:
    """One seed made of several numbers, unrelated to the seeds of neighbouring numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
