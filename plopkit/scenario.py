"""Which step learns which classes: scenarios such as `voc 15-5 overlap`, and their steps.

A *label* is a class id of the data set (0 is background, 255 is ignored), a *channel* an output of the classifier;
channels are labels in the order learnt. The rules are those of the code of MiB (CVPR 2020) and PLOP (CVPR 2021).

Beyond 255 labels, or channels, these ids have 16 bits, and 65535 is ignored (`ignored_id`).
"""

import functools
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Self

import numpy as np
import numpy.typing as npt

from plopkit.catalogue import DATASETS
from plopkit.grammar import DOMAIN, Words, class_order, joined, read_words, step_sizes, task_and_protocol
from plopkit.orders import seed_of_order

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

IGNORE = 255
"""The label, and the target, of ignored pixels where there are at most 255 labels, or channels."""

WIDE_IGNORE = 65535
"""The label, and the target, of ignored pixels where there are more."""

N_IDS = 256
"""Number of ids that an 8-bit mask can hold, `IGNORE` among them."""


def ignored_id(n: int) -> int:
    """The label of ignored pixels among `n` labels, or their target among `n` channels: 255, or 65535 where n > 255."""
    return IGNORE if n <= IGNORE else WIDE_IGNORE


def id_type(n: int) -> type[np.unsignedinteger]:
    """The type of masks of `n` labels, or of targets of `n` channels: 8 bits, or 16 where n > 255."""
    return np.uint8 if n <= IGNORE else np.uint16


def table_width(n_labels: int) -> int:
    """The number of columns of tables of images and labels; the last one is for ignored pixels.

    256, or n_labels + 1 where there are more than 255 labels.
    """
    return N_IDS if n_labels <= IGNORE else n_labels + 1


@dataclass(frozen=True)
class Step:
    """One training phase. `new`, `old` and `future` are labels; the background is new at step 0.

    In the protocol `domain`, step 0 learns all labels, and later steps have other images: `domains` names the domains
    that they come from, and `new` is ().

    Example:
        >>> step = Scenario.parse("voc 15-5 overlap").steps[1]
        >>> step.new, step.n_old, step.n_seen
        ((16, 17, 18, 19, 20), 16, 21)
    """

    index: int
    protocol: str
    new: tuple[int, ...]
    old: tuple[int, ...]
    future: tuple[int, ...]
    domains: tuple[str, ...] = ()
    """The domains that the step trains on, in the protocol `domain`."""
    old_domains: tuple[str, ...] = ()
    future_domains: tuple[str, ...] = ()
    unlearnt: tuple[int, ...] = ()
    """Labels of the data set that no step learns: their pixels are ignored."""

    @property
    def seen(self) -> tuple[int, ...]:
        """Labels known after this step; `seen[i]` is the label of channel i."""
        return self.old + self.new

    @property
    def n_old(self) -> int:
        """Channels of the teacher, background included; 0 at step 0, which has no teacher."""
        return len(self.old)

    @property
    def n_seen(self) -> int:
        """Channels of the net, background included."""
        return len(self.seen)

    @property
    def n_new(self) -> int:
        """Channels that the step adds: 0 at later steps of the protocol `domain`."""
        return len(self.new)

    @property
    def n_labels(self) -> int:
        """Number of labels of the data set, background included."""
        return len(self.seen) + len(self.future) + len(self.unlearnt)

    @property
    def seen_domains(self) -> tuple[str, ...]:
        """Domains known after this step; () except in the protocol `domain`."""
        return self.old_domains + self.domains

    @property
    def labelled(self) -> str:
        """Which labels the training masks show: "seen" in the protocols sequential and domain, else "new"."""
        return "seen" if self.protocol in ("sequential", DOMAIN) else "new"

    def uses(self, present: Iterable[int]) -> bool:
        """Whether an image whose mask has these labels is trained on, by the rule of `trains_on`."""
        return bool(self.trains_on(np.isin(np.arange(table_width(self.n_labels)), list(present))[None])[0])

    def trains_on(self, presence: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which images are trained on.

        Overlap requires at least one new label; disjoint and sequential also that there is no future label.
        Partitioned requires that the image was assigned to one of the new classes by `assign_classes`. Domain requires
        that it comes from one of the step's domains, whatever its labels. Background, ignored pixels and ids that are
        not labels of the data set never count.

        Args:
            presence: (N, 256) bool, the labels that each mask has, or (N, `table_width(n_labels)`) where there are
                more than 255; for partitioned, a table of `assign_classes`, for domain, one of `with_domains`.

        Returns:
            (N,) bool.

        Raises:
            ValueError: The table has another shape, or several classes in one row where images are partitioned.
        """
        if self.protocol == DOMAIN:
            return self.comes_from(presence, self.domains)
        used = self._any_of(presence, self.new)
        if self.protocol in ("disjoint", "sequential"):
            used[self._any_of(presence, self.future)] = False
        elif self.protocol == "partitioned":
            classes = [label for label in self.seen + self.future if label]
            if (presence[:, classes].sum(axis=1) > 1).any():
                raise ValueError(
                    "partitioned: an image belongs to one class only, and the presence table has several in one row; "
                    "apply assign_classes(presence, stems, seed) to it first"
                )
        return used

    def evaluates_on(self, presence: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which images are evaluated on, (N, 256) -> (N,) bool: those with a seen label other than background.

        In the protocol `domain`, those of all domains seen; the table is one of `with_domains`.
        """
        if self.protocol == DOMAIN:
            return self.comes_from(presence, self.seen_domains)
        return self._any_of(presence, self.seen)

    def comes_from(self, presence: npt.NDArray[np.bool_], domains: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Which images come from some domains, by a table of `with_domains`: (N, 256 + domains) -> (N,) bool."""
        known = self.seen_domains + self.future_domains
        self._check_width(presence)
        columns = [table_width(self.n_labels) + known.index(domain) for domain in domains]
        return np.asarray(presence[:, columns].any(axis=1))

    uses_table, sees_table = trains_on, evaluates_on  # their names in plopkit 0.1

    def lookup(self, labelled: str = "new", ignore_future: bool = False) -> npt.NDArray[np.unsignedinteger]:
        """The table that turns labels into channels: `target = table[mask]`.

        Labels of the data set that are not shown become background (channel 0); ids that are not labels of the data
        set become 255, as does 255 itself.

        Args:
            labelled: "new" shows the new labels only (training), "seen" every seen label (evaluation, and training
                in the sequential protocol). In the protocol `domain` both show all labels.
            ignore_future: Whether labels of later steps become 255, not background.

        Returns:
            (256,) uint8, read-only. Beyond 255 labels it has 65,536 entries, beyond 255 channels seen it is uint16, and
            65535 takes the place of 255 in each.

        Raises:
            ValueError: Another `labelled`.
        """
        if labelled not in ("new", "seen"):
            raise ValueError(f"labelled is 'new' or 'seen', not {labelled!r}")
        first = self.n_old if labelled == "new" and self.protocol != DOMAIN else 0
        table = np.full(ignored_id(self.n_labels) + 1, ignored_id(self.n_seen), id_type(self.n_seen))
        table[list(self.seen if ignore_future else self.seen + self.future)] = 0
        table[list(self.seen[first:])] = np.arange(first, self.n_seen)
        table.flags.writeable = False
        return table

    @property
    def label_of(self) -> npt.NDArray[np.unsignedinteger]:
        """The table (256,) uint8 that turns channels into labels: `mask = label_of[target]`; all else is 255.

        It has 65,536 entries, and is uint16, as `lookup` is.
        """
        table = np.full(ignored_id(self.n_seen) + 1, ignored_id(self.n_labels), id_type(self.n_labels))
        table[: self.n_seen] = self.seen
        return table

    def _any_of(self, presence: npt.NDArray[np.bool_], labels: tuple[int, ...]) -> npt.NDArray[np.bool_]:
        self._check_width(presence)
        columns = [label for label in labels if label != 0]
        return np.asarray(presence[:, columns].any(axis=1))

    def _check_width(self, presence: npt.NDArray[np.bool_]) -> None:
        n_domains = len(self.seen_domains + self.future_domains)
        width = table_width(self.n_labels) + n_domains
        if presence.ndim != 2 or presence.shape[1] != width:
            hint = "; with_domains adds a column for each domain" if n_domains else ""
            raise ValueError(f"a presence table has the shape (images, {width}), not {presence.shape}{hint}")


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
            return self._domain_steps()
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

    def _domain_steps(self) -> tuple[Step, ...]:
        """Steps of the same labels and other domains."""
        unlearnt = () if DATASETS[self.dataset].has_background else (0,)
        labels = self.order[len(unlearnt) :]
        ends = np.cumsum([0, *step_sizes(self.task, len(self.domains))]).tolist()
        return tuple(
            Step(
                index,
                self.protocol,
                () if index else labels,
                labels if index else (),
                (),
                self.domains[start:end],
                self.domains[:start],
                self.domains[end:],
                unlearnt,
            )
            for index, (start, end) in enumerate(pairwise(ends))
        )

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


def assign_classes(presence: npt.NDArray[np.bool_], stems: Sequence[str], seed: int) -> npt.NDArray[np.bool_]:
    """Give each image to one of the classes that it shows, uniformly at random: the protocol `partitioned`.

    The class depends on the seed, the image's name and the labels that it shows, and on nothing else: neither on the
    order of the files nor on the task or the class order.

    Args:
        presence: (N, 256) bool, the labels that each mask has.
        stems: The name of each image.
        seed: A different seed gives a different assignment.

    Returns:
        (N, 256) bool, one label per image; none for an image that shows no class.

    Source: arXiv 2405.09858, the partitioned setting.
    """
    classes = presence.copy()
    classes[:, [0, -1]] = False  # background and ignored pixels
    counts = classes.sum(axis=1)
    digests = (hashlib.blake2b(f"{seed}/{stem}".encode(), digest_size=8).digest() for stem in stems)
    draws = np.frombuffer(b"".join(digests), dtype=">u8").astype(np.float64) / 2.0**64  # uniform in [0, 1]
    places = np.minimum(np.floor(draws * counts), counts - 1)  # the largest 64-bit numbers round up to 1
    return classes & (classes.cumsum(axis=1) == places[:, None] + 1)


def with_domains(
    presence: npt.NDArray[np.bool_], of_images: Sequence[str], domains: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """Add the domain that each image comes from to a table of labels: the protocol `domain`.

    Args:
        presence: (N, 256) bool, the labels that each mask has.
        of_images: (N,) the domain of each image.
        domains: The scenario's domains, in the order learnt.

    Returns:
        (N, 256 + number of domains) bool.

    Raises:
        ValueError: There is not one domain for each image.
    """
    if len(of_images) != len(presence):
        raise ValueError(f"there are {len(presence)} images, and domains of {len(of_images)}")
    return np.hstack([presence, np.asarray(of_images)[:, None] == np.asarray(domains)[None]])
