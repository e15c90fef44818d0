"""Who learns which class when: scenarios such as `voc 15-5 overlap`, and their steps.

A *label* is a class id of the data set (0 background, 255 ignore), a *channel* an output of the classifier;
channels are labels in the order learnt. The rules are those of the code of MiB (CVPR 2020), PLOP (2021).
"""

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from plopkit.grammar import (
    DATASETS,
    N_LABELS,
    PROTOCOLS,
    class_order,
    joined,
    named_orders,
    read_words,
    task_and_protocol,
)

__all__ = ["DATASETS", "IGNORE", "PROTOCOLS", "Scenario", "Step", "check"]

IGNORE = 255
"""The label, and the target, of ignored pixels."""

N_IDS = 256
"""Ids that an 8-bit mask can hold, `IGNORE` among them."""


@dataclass(frozen=True)
class Step:
    """One training phase. `new`, `old` and `future` are labels; the background is new at step 0."""

    index: int
    protocol: str
    new: tuple[int, ...]
    old: tuple[int, ...]
    future: tuple[int, ...]

    @property
    def seen(self) -> tuple[int, ...]:
        """Labels known after this step; `seen[i]` is the label of channel i."""
        return self.old + self.new

    @property
    def n_old(self) -> int:
        """Channels of the teacher, background included; 0 at step 0, which has none."""
        return len(self.old)

    @property
    def n_seen(self) -> int:
        """Channels of the net, background included."""
        return len(self.seen)

    @property
    def labelled(self) -> str:
        """Which labels the training masks show: `seen` in the sequential protocol, else `new`."""
        return "seen" if self.protocol == "sequential" else "new"

    def uses(self, present: Iterable[int]) -> bool:
        """Is an image whose mask has these labels trained on? The rule is that of `trains_on`."""
        return bool(self.trains_on(np.isin(np.arange(256), list(present))[None])[0])

    def trains_on(self, presence: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which images are trained on: (N,) bool, from which labels each mask has, (N, 256) bool.

        Overlap asks for at least one new label; disjoint and sequential also for no future one. Background,
        ignored pixels and ids that are not of the data set never count. Raises ValueError for another shape.
        """
        used = _any_of(presence, self.new)
        if self.protocol != "overlap":
            used[_any_of(presence, self.future)] = False
        return used

    def evaluates_on(self, presence: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which images are evaluated on, (N, 256) -> (N,) bool: those with a seen label beside background."""
        return _any_of(presence, self.seen)

    def lookup(self, labelled: str = "new") -> npt.NDArray[np.uint8]:
        """The table (256,) uint8 that makes channels of the labels in a mask: `target = table[mask]`.

        `labelled="new"` shows the new labels only (training), `"seen"` every seen label (evaluation and
        sequential training). Other labels of the data set become background; ids that are not of the data set
        become 255, as 255 itself. The array is read-only. Raises ValueError for another `labelled`.
        """
        if labelled not in ("new", "seen"):
            raise ValueError(f"labelled is 'new' or 'seen', not {labelled!r}")
        first = self.n_old if labelled == "new" else 0
        table = np.full(256, IGNORE, dtype=np.uint8)
        table[list(self.seen + self.future)] = 0
        table[list(self.seen[first:])] = np.arange(first, self.n_seen)
        table.flags.writeable = False
        return table

    @property
    def label_of(self) -> npt.NDArray[np.uint8]:
        """The table (256,) uint8 that makes labels of channels: `mask = label_of[target]`; all else is 255."""
        table = np.full(256, IGNORE, dtype=np.uint8)
        table[: self.n_seen] = self.seen
        return table


@dataclass(frozen=True)
class Scenario:
    """Data set, task, protocol and class order; made by `Scenario.parse`. `str` gives the canonical text."""

    dataset: str
    task: str
    protocol: str
    order: tuple[int, ...]

    @classmethod
    def parse(cls, text: str, n_labels: int | None = None) -> Self:
        """Read `<dataset> <task> [<protocol>] [order=<name or labels>]`, e.g. `voc 15-1 overlap order=b`.

        The data set is voc, emoji, ade or folder; `n_labels` (background included) is needed for folder only.
        The task is base-increment or joint; only joint may leave out the protocol. The released code's names
        `15-5s`, `15-5s_b`, `50` (ADE) and `offline` are understood.

        Raises ValueError that says what was given, what is possible, and the nearest valid texts.
        """
        words = read_words(text)
        known = N_LABELS.get(words.dataset, n_labels)
        if known is None:
            raise ValueError(
                f"the scenario {text!r} needs n_labels, the number of labels of your data, background "
                "included: it is the number of lines of classes.txt"
            )
        if n_labels not in (None, known):
            raise ValueError(f"{words.dataset} has {known} labels, background included, not {n_labels}")
        if not 2 <= known <= 255:  # a mask has 8 bits, and 255 is taken
            raise ValueError(f"n_labels is 2 to 255, background included, not {n_labels}")
        order = class_order(words, known)
        return cls(words.dataset, *task_and_protocol(words, known), order)

    @property
    def n_labels(self) -> int:
        """Labels of the data set, background included."""
        return len(self.order)

    @functools.cached_property
    def order_name(self) -> str | None:
        """Name of the class order; None for the natural order and for one of the user's own."""
        named = {order: name for name, order in named_orders(self.dataset).items()}
        return None if self.order == tuple(range(self.n_labels)) else named.get(self.order)

    @functools.cached_property
    def steps(self) -> tuple[Step, ...]:
        """The steps; their `new` labels, one step after the other, are `order`."""
        n = self.n_labels
        base, increment = (n - 1, n) if self.task == "joint" else map(int, self.task.split("-"))
        starts = [0, *range(1 + base, n, increment)]
        return tuple(
            Step(index, self.protocol, self.order[start:end], self.order[:start], self.order[end:])
            for index, (start, end) in enumerate(zip(starts, [*starts[1:], n], strict=True))
        )

    def __str__(self) -> str:
        natural = self.order == tuple(range(self.n_labels))
        order = "" if natural else self.order_name or ",".join(map(str, self.order[1:]))
        return joined(self.dataset, self.task, self.protocol, order)


def check(text: str) -> str:
    """The canonical text of a scenario, without knowing how many labels a user's own folder has.

    Raises the ValueError of `Scenario.parse`; for a folder only what the words tell is checked.
    """
    words = read_words(text)
    if words.dataset != "folder":
        return str(Scenario.parse(text))
    if words.order:  # a list of all labels tells their number; anything else is refused for any number
        listed = len({"0", *words.order.split(",")})
        return str(Scenario.parse(text, listed if words.order[0].isdigit() else 16))
    return joined(words.dataset, *task_and_protocol(words, None))


def _any_of(presence: npt.NDArray[np.bool_], labels: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    if presence.ndim != 2 or presence.shape[1] != 256:
        raise ValueError(f"a presence table has the shape (images, 256), not {presence.shape}")
    columns = [label for label in labels if label != 0]
    return np.asarray(presence[:, columns].any(axis=1))
