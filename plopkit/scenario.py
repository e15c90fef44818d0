"""Who learns which class when: scenarios such as `voc 15-5 overlap`, and their steps.

A *label* is a class id of the data set (0 background, 255 ignore), a *channel* an output of the classifier;
channels are labels in the order learnt. The rules are those of the code of MiB (CVPR 2020), PLOP (2021).
"""

import difflib
import functools
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from plopkit import facts

PROTOCOLS = ("overlap", "disjoint", "sequential")
N_LABELS = {"voc": 21, "emoji": 21, "ade": 151}  # background included
DATASETS = (*N_LABELS, "folder")


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
        """Is an image whose mask has these labels trained on? The rule is that of `uses_table`."""
        return bool(self.uses_table(np.isin(np.arange(256), list(present))[None])[0])

    def uses_table(self, presence: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Which images are trained on: (N,) bool, from which labels each mask has, (N, 256) bool.

        Overlap asks for at least one new label; disjoint and sequential also for no future one. Background,
        ignored pixels and ids that are not of the data set never count. Raises ValueError for another shape.
        """
        used = _any_of(presence, self.new)
        if self.protocol != "overlap":
            used[_any_of(presence, self.future)] = False
        return used

    def sees_table(self, presence: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
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
        table = np.full(256, 255, dtype=np.uint8)
        table[list(self.seen + self.future)] = 0
        table[list(self.seen[first:])] = np.arange(first, self.n_seen)
        table.flags.writeable = False
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
        words = _read(text)
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
        order = _order(words, known)
        return cls(words.dataset, *_task_and_protocol(words, known), order)

    @property
    def n_labels(self) -> int:
        """Labels of the data set, background included."""
        return len(self.order)

    @functools.cached_property
    def order_name(self) -> str | None:
        """Name of the class order; None for the natural order and for one of the user's own."""
        named = {order: name for name, order in _named_orders(self.dataset).items()}
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
        return _join(self.dataset, self.task, self.protocol, order)


def check(text: str) -> str:
    """The canonical text of a scenario, without knowing how many labels a user's own folder has.

    Raises the ValueError of `Scenario.parse`; for a folder only what the words tell is checked.
    """
    words = _read(text)
    if words.dataset != "folder":
        return str(Scenario.parse(text))
    if words.order:  # a list of all labels tells their number; anything else is refused for any number
        listed = len({"0", *words.order.split(",")})
        return str(Scenario.parse(text, listed if words.order[0].isdigit() else 16))
    return _join(words.dataset, *_task_and_protocol(words, None))


def _any_of(presence: npt.NDArray[np.bool_], labels: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    if presence.ndim != 2 or presence.shape[1] != 256:
        raise ValueError(f"a presence table has the shape (images, 256), not {presence.shape}")
    columns = [label for label in labels if label != 0]
    return np.asarray(presence[:, columns].any(axis=1))


class _Words(NamedTuple):
    dataset: str
    task: str
    protocol: str
    order: str


_GRAMMAR = re.compile(r"(\S+) (\S+)(?: (?!order=)(\S+))?(?: order=(\S+))?")
_REWRITES = (
    (r" ?([=,]) ?", r"\1"),
    (r"^(voc|emoji) 15-5s_([a-z])(?= |$)(.*)", r"\1 15-1\3 order=\2"),
    (r"^(voc|emoji) 15-5s(?= |$)", r"\1 15-1"),
    (r"^ade 50(?= |$)", "ade 50-50"),
    (r" offline(?= |$)", " joint"),
    (r" overlapp(ed|ing)(?= |$)", " overlap"),
)
_USUAL = ("voc 15-5", "voc 15-1", "voc 19-1", "voc 10-1", "emoji 15-5", "ade 100-50", "folder 10-5")


def _read(text: str) -> _Words:
    """The four words, lower-case and without aliases; empty where left out."""
    plain = " ".join(text.lower().split())
    for pattern, replacement in _REWRITES:
        plain = re.sub(pattern, replacement, plain)
    match = _GRAMMAR.fullmatch(plain)
    if match and match[1] in DATASETS:
        return _Words(*match.groups(""))
    usual = [" ".join(parts) for parts in product(_USUAL, PROTOCOLS)]
    near = difflib.get_close_matches(plain, usual, cutoff=0)
    raise ValueError(
        f"{text!r} is not a scenario; possible: <data set> <task> <protocol> [order=<name or labels>], with "
        f"a data set of {', '.join(DATASETS)}; nearest: {' or '.join(map(repr, near))}"
    )


@functools.cache
def _named_orders(dataset: str) -> dict[str, tuple[int, ...]]:
    orders = json.loads(facts.path("orders.json").read_text(encoding="utf-8"))
    same = "voc" if dataset == "emoji" else dataset  # emoji draws VOC's classes
    return {name: tuple(order) for name, order in orders.get(same, {}).items()}


def _order(words: _Words, n_labels: int) -> tuple[int, ...]:
    named = _named_orders(words.dataset)
    natural = tuple(range(n_labels))
    if not words.order or words.order in named:
        return named.get(words.order, natural)
    problem = f"there is no order {words.order!r}; possible: {', '.join([*named, 'all labels with commas'])}"
    if re.fullmatch("[0-9]{1,3}(,[0-9]{1,3})*", words.order):
        order = tuple(map(int, words.order.removeprefix("0,").split(",")))
        if sorted(order) == list(natural[1:]):
            return 0, *order
        missing = sorted(set(natural[1:]) - set(order))
        wrong = sorted({label for label in order if order.count(label) > 1 or label not in natural[1:]})
        problem = f"the order must hold each label 1..{natural[-1]} once; missing: {missing}, wrong: {wrong}"
    raise _error(words, problem, n_labels)


def _task_and_protocol(words: _Words, n_labels: int | None) -> tuple[str, str]:
    task = _fitting(words.task, n_labels)
    protocol = "overlap" if task == "joint" and not words.protocol else words.protocol
    if task and protocol in PROTOCOLS:
        return task, protocol
    problem = f"unknown protocol {protocol!r}" if protocol else "the protocol is missing"
    problem += f"; possible: {', '.join(PROTOCOLS)}"
    if not task:
        total = f" = {n_labels - 1} classes" if n_labels else ""
        possible = f"base-increment with base + increment + … + increment{total}, or joint"
        problem = f"the task {words.task!r} does not fit; possible: {possible}"
    raise _error(words, problem, n_labels, words.order)


def _fitting(task: str, n_labels: int | None) -> str | None:
    """The canonical task; None if a data set with so many labels (any number if None) cannot be learnt so."""
    match = re.fullmatch("([0-9]{1,3})-([0-9]{1,3})", task)
    if not match:
        return task if task == "joint" else None
    base, increment = map(int, match.groups())
    rest = n_labels - 1 - base if n_labels else increment
    return f"{base}-{increment}" if min(base, increment, rest) > 0 and rest % increment == 0 else None


def _join(dataset: str, task: str, protocol: str, order: str = "") -> str:
    shown = "" if (task, protocol) == ("joint", "overlap") else protocol
    return " ".join(filter(None, (dataset, task, shown, order and f"order={order}")))


def _error(words: _Words, problem: str, n_labels: int | None, order: str = "") -> ValueError:
    """The error with up to three valid texts near these words; `order` is what they keep of the order."""
    task = _fitting(words.task, n_labels)
    tasks = [task] if task else _near_tasks(words.task, n_labels or 16)  # a folder's number may be unknown
    protocols = difflib.get_close_matches(words.protocol, PROTOCOLS, n=1) or PROTOCOLS
    near = [_join(words.dataset, *rest, order) for rest in product(tasks, protocols)]
    given = " ".join(filter(None, (*words[:3], words.order and f"order={words.order}")))
    return ValueError(f"{given!r}: {problem}; nearest: {' or '.join(map(repr, near[:3]))}")


def _near_tasks(task: str, n_labels: int) -> list[str]:
    n = n_labels - 1
    sizes = {f"{b}-{i}": (b, i) for b in range(1, n) for i in range(1, n) if _fitting(f"{b}-{i}", n_labels)}
    given = [int(number) for number in re.findall("[0-9]{1,3}", task)]
    if len(given) != 2 or not sizes:
        return difflib.get_close_matches(task, ["joint", *sizes]) or ["joint"]

    def distance(task: str) -> int:  # the base counts double: 100-7 is rather 100-5 than 101-7
        return 2 * abs(sizes[task][0] - given[0]) + abs(sizes[task][1] - given[1])

    return sorted(sizes, key=distance)[:3]
