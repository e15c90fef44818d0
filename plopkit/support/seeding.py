"""Derive one seed from several numbers, and seed random generators temporarily."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch


@contextlib.contextmanager
def seeded(*parts: int) -> Iterator[None]:
    """Seed torch's CPU generator with these numbers inside the context; restore its state afterwards."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(*parts))
        yield


@contextlib.contextmanager
def all_seeded(device: torch.device, *parts: int) -> Iterator[None]:
    """Seed the generators of Python, NumPy, torch and the device with these numbers inside the context.

    Their states are restored afterwards.
    """
    seed = seed_of(*parts)
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002  (what others draw from)
    on_cpu = device.type == "cpu"
    with torch.random.fork_rng([] if on_cpu else [device], device_type="cuda" if on_cpu else device.type):
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        torch.default_generator.manual_seed(seed)
        if not on_cpu:
            torch.get_device_module(device).manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)  # noqa: NPY002


def seed_of(*parts: int) -> int:
    """One seed made of several numbers, unrelated to the seeds of neighbouring numbers."""
    return int(np.random.SeedSequence(parts).generate_state(1)[0])
