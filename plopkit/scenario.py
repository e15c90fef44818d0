"""Which step learns which classes: scenarios such as `voc 15-5 overlap`, and their steps.

A *label* is a class id of the data set (0 is background, 255 is ignored), a *channel* an output of the classifier;
channels are labels in the order learnt. The rules are those of the code of MiB (CVPR 2020) and PLOP (CVPR 2021).

Beyond 255 labels, or channels, these ids have 16 bits, and 65535 is ignored (`ignored_id`).
"""

import functools
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import numpy as np

from plopkit.catalogue import DATASETS
from plopkit.domains import domain_steps, with_domains
from plopkit.grammar import DOMAIN, Words, class_order, joined, read_words, step_sizes, task_and_protocol
from plopkit.ids import IGNORE, N_IDS, WIDE_IGNORE, id_type, ignored_id, table_width
from plopkit.orders import seed_of_order
from plopkit.partition import assign_classes
from plopkit.step import Step

__all__ = [
    "DATASETS",
    "IGNORE",
    "N_IDS",
    "PROTOCOLS",
    "WIDE_IGNORE",
    "Scenario",
    "Step",
    "assign_classes",
    "check",
    "id_type",
    "ignored_id",
    "table_width",
    "with_domains",
]

PROTOCOLS = ("overlap", "disjoint", "sequential")
"""The protocols that select images by their labels alone. `plopkit.grammar.PROTOCOLS` has all of them: in
`partitioned`, `assign_classes` must have assigned each image to one of its classes first, and in `domain`,
`with_domains` must have added the domain that it comes from."""


@dataclass(frozen=True)
class Scenario:
    """Data set, task, protocol and class order; made by `Scenario.parse`. `str` gives the canonical text.

    Example:
        >>> scenario = Scenario.parse("voc 15-5s overlap")
        >>> str(scenario), len(scenario.steps)
        ('voc 15-1 overlap', 6)
    """

    dataset: str
    task: str
    protocol: str
    order: tuple[int, ...]
    order_seed: int | None = field(default=None, compare=False)
    """the number in `order=random:3`; None for any other order"""

    @classmethod
    def parse(cls, text: str, n_labels: int | None = None) -> Self:
        """Read `<data set> <task> [<protocol>] [order=<name or labels>]`, e.g. `voc 15-1 overlap order=b`.

        `order=random:3` draws the class order (`plopkit.orders.random_order`).

        The task is base-increment, the number of classes of each step (`10+3+2`), or joint; only joint may leave out
        the protocol. The released code's names `15-5s`, `15-5s_b`, `50` (ADE) and `offline` are understood.

        Args:
            text: The scenario.
            n_labels: Number of labels, background included; needed only for data in a user's own folder.

        Raises:
            ValueError: The text is invalid; the message says what is possible and lists the nearest valid texts.
        """
        return cls.from_words(read_words(text), n_labels)

    @classmethod
    def from_words(cls, words: Words, n_labels: int | None = None) -> Self:
        """Make the scenario of words that have been read; `n_labels` and errors as for `parse`."""
        known = DATASETS[words.dataset].n_labels or n_labels
        if known is None:
            raise ValueError(
                f"the scenario {words.canonical!r} needs n_labels, the number of labels of your data, background "
                "included: it is the number of lines of classes.txt"
            )
        if n_labels not in (None, known):
            raise ValueError(f"{words.dataset} has {known} labels, background included, not {n_labels}")
        if not 2 <= known <= WIDE_IGNORE:  # a mask has at most 16 bits, and 65535 is taken
            raise ValueError(f"n_labels is 2 to {WIDE_IGNORE}, background included, not {n_labels}")
        order = class_order(words, known)
        return cls(words.dataset, *task_and_protocol(words, known), order, seed_of_order(words.order))

    @property
    def n_labels(self) -> int:
        """Number of labels of the data set, background included."""
        return len(self.order)

    @functools.cached_property
    def order_name(self) -> str | None:
        """Name of the class order; None for the natural order and for a list of the user."""
        if self.order_seed is not None:
            return f"random:{self.order_seed}"
        named = {order: name for name, order in DATASETS[self.dataset].class_orders().items()}
        return None if self.order == tuple(range(self.n_labels)) else named.get(self.order)

    @functools.cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps; their `new` labels, one step after the other, are `order`, and their `domains` are `domains`."""
        if self.protocol == DOMAIN:
            return domain_steps(self.dataset, self.task, self.order)
        ends = np.cumsum(step_sizes(self.task, self.n_labels - 1)) + 1
        starts = [0, *ends.tolist()]
        return tuple(
            Step(index, self.protocol, self.order[start:end], self.order[:start], self.order[end:])
            for index, (start, end) in enumerate(pairwise(starts))
        )

    @property
    def domains(self) -> tuple[str, ...]:
        """The domains in the order learnt; () except in the protocol `domain`."""
        return DATASETS[self.dataset].domains if self.protocol == DOMAIN else ()

    def __str__(self) -> str:
        listed = "" if self.order == tuple(range(self.n_labels)) else ",".join(map(str, self.order[1:]))
        order = self.order_name or listed
        return joined(self.dataset, self.task, self.protocol, order)


def check(text: str) -> str:
    """The canonical text of a scenario, without knowing how many labels a user's own folder has.

    Raises:
        ValueError: As for `Scenario.parse`; for a user's folder only what the words say is checked.
    """
    return _canonical(text, DATASETS.version)


@functools.lru_cache(maxsize=256)
def _canonical(text: str, version: int) -> str:
    words = read_words(text)
    if DATASETS[words.dataset].n_labels is not None:
        return str(Scenario.from_words(words))
    if (seed := seed_of_order(words.order)) is not None:
        return joined(words.dataset, *task_and_protocol(words, None), f"random:{seed}")
    if words.order:  # a list of all labels says their number; anything else is refused for any number
        n_listed = len({"0", *words.order.split(",")})
        return str(Scenario.from_words(words, n_listed if words.order[0].isdigit() else 16))
    return joined(words.dataset, *task_and_protocol(words, None))
