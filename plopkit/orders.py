"""Class orders drawn at random: `order=random:3` in a scenario, and `order=random:0..9` for ten of them in a grid."""

import re

LONGEST = 1000
"""Number of orders that a range may name."""

_ONE = re.compile(r"random:([0-9]{1,9})")
_RANGE = re.compile(r"(.* )order=random:([0-9]{1,9})\.\.([0-9]{1,9})")
_IN_TEXT = re.compile(r" order=random:[0-9]+$")


def seed_of_order(order: str) -> int | None:
    """The seed in `random:3`; None for any other order."""
    match = _ONE.fullmatch(order)
    return int(match[1]) if match else None


def random_order(seed: int, n_labels: int) -> tuple[int, ...]:
    """The labels in a random order, 0 first.

    `numpy.random.RandomState(seed).permutation(n_labels - 1) + 1`: numpy keeps this stream of numbers as it is, so that
    the order is the same on all machines and with all versions.

    Args:
        seed: A different one gives a different order.
        n_labels: Number of labels, background included.
    """
    import numpy as np  # here, since the grammar of scenarios must be quick to import

    return 0, *(np.random.RandomState(seed).permutation(n_labels - 1) + 1).tolist()


def expanded_orders(scenario: str) -> list[str]:
    """The scenarios that `… order=random:0..9` stands for, the last one included; any other text stands for itself.

    Raises:
        ValueError: The range is empty, or longer than `LONGEST`.
    """
    match = _RANGE.fullmatch(" ".join(scenario.split()))
    if match is None:
        return [scenario]
    first, last = int(match[2]), int(match[3])
    if not 0 <= last - first < LONGEST:
        raise ValueError(
            f"{scenario!r}: a range of orders goes from a number to the same or a larger one, with at most {LONGEST}"
        )
    return [f"{match[1]}order=random:{seed}" for seed in range(first, last + 1)]


def without_seed(scenario: str) -> str:
    """A scenario of a random order without the order's number, `… order=random`; any other one as it is."""
    return _IN_TEXT.sub(" order=random", scenario)
