"""The grammar of scenarios, ``<data set> <task> <protocol> [order=<name or labels>]``: read, checked, explained."""

import difflib
import functools
import json
import re
from itertools import product
from typing import NamedTuple

from plopkit.support import resources

PROTOCOLS = ("overlap", "disjoint", "sequential")
N_LABELS = {"voc": 21, "emoji": 21, "ade": 151}  # background included
DATASETS = (*N_LABELS, "folder")


class Words(NamedTuple):
    """The parts of a scenario's text; empty where left out."""

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


def read_words(text: str) -> Words:
    """The four words, lower-case and without aliases; empty where left out."""
    plain = " ".join(text.lower().split())
    for pattern, replacement in _REWRITES:
        plain = re.sub(pattern, replacement, plain)
    match = _GRAMMAR.fullmatch(plain)
    if match and match[1] in DATASETS:
        return Words(*match.groups(""))
    usual = [" ".join(parts) for parts in product(_USUAL, PROTOCOLS)]
    near = difflib.get_close_matches(plain, usual, cutoff=0)
    raise ValueError(
        f"{text!r} is not a scenario; possible: <data set> <task> <protocol> [order=<name or labels>], with "
        f"a data set of {', '.join(DATASETS)}; nearest: {' or '.join(map(repr, near))}"
    )


@functools.cache
def named_orders(dataset: str) -> dict[str, tuple[int, ...]]:
    orders = json.loads(resources.path("orders.json").read_text(encoding="utf-8"))
    same = "voc" if dataset == "emoji" else dataset  # emoji draws VOC's classes
    return {name: tuple(order) for name, order in orders.get(same, {}).items()}


def class_order(words: Words, n_labels: int) -> tuple[int, ...]:
    named = named_orders(words.dataset)
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


def task_and_protocol(words: Words, n_labels: int | None) -> tuple[str, str]:
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


def joined(dataset: str, task: str, protocol: str, order: str = "") -> str:
    shown = "" if (task, protocol) == ("joint", "overlap") else protocol
    return " ".join(filter(None, (dataset, task, shown, order and f"order={order}")))


def _error(words: Words, problem: str, n_labels: int | None, order: str = "") -> ValueError:
    """The error with up to three valid texts near these words; `order` is what they keep of the order."""
    task = _fitting(words.task, n_labels)
    tasks = [task] if task else _near_tasks(words.task, n_labels or 16)  # a folder's number may be unknown
    protocols = difflib.get_close_matches(words.protocol, PROTOCOLS, n=1) or PROTOCOLS
    near = [joined(words.dataset, *rest, order) for rest in product(tasks, protocols)]
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
