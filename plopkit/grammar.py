"""The grammar of scenarios, `<data set> <task> <protocol> [order=<name or labels>]`: read, checked, explained."""

import difflib
import functools
import re
from itertools import product
from typing import TYPE_CHECKING, NamedTuple

from plopkit.catalogue import DATASETS, PLUGIN_HINT
from plopkit.orders import random_order, seed_of_order
from plopkit.support.moved import renamed
from plopkit.support.printable import one_line, quoted

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


DOMAIN = "domain"
"""The protocol whose steps have all labels and the images of other domains."""

PROTOCOLS = ("overlap", "disjoint", "sequential", "partitioned", DOMAIN)
"""All protocols; `protocols_of` has those of a data set."""

LONGEST = 10_000
"""Characters of a scenario; an order of 999 labels takes 4,000."""

PARTS = ("dataset", "task", "protocol", "order")
"""The names of a scenario's parts, in the order of its text."""


class Words(NamedTuple):
    """The parts of a scenario's text; empty where left out."""

    dataset: str
    task: str
    protocol: str
    order: str
    given: str = ""
    """The text as it was given, for error messages; an alias in it may be another task, or hold an order."""

    @property
    def canonical(self) -> str:
        """The parts as a text."""
        return joined(*self[: len(PARTS)])


_GRAMMAR = re.compile(r"(\S+) (\S+)(?: (?!order=)(\S+))?(?: order=(\S+))?")
_REWRITES = (
    (r" ?([=,+]) ?", r"\1"),
    (r" offline(?= |$)", " joint"),
    (r" overlapp(ed|ing)(?= |$)", " overlap"),
)


def read_words(text: str) -> Words:
    """Read the four words, lower-case and without aliases; empty where left out. A text is read once.

    Raises:
        ValueError: The text is not a scenario, or there is no such data set; lists what is possible.
    """
    return _read(text, DATASETS.version)


@functools.lru_cache(maxsize=256)
def _read(text: str, version: int) -> Words:
    if len(text) > LONGEST:
        raise ValueError(
            f"{quoted(text)} is not a scenario: it has {len(text):,} characters, and at most {LONGEST:,} are read; "
            f"nearest: {usual_scenarios()[0]!r}"
        )
    plain = _plain(text)
    dataset, _, rest = plain.partition(" ")
    if dataset in DATASETS:
        for pattern, replacement in DATASETS[dataset].task_aliases:
            rest = re.sub(pattern, replacement, rest)
        if match := _GRAMMAR.fullmatch(f"{dataset} {rest}"):
            dataset, task, protocol, order = match.groups("")
            return Words(dataset, task, protocol, order, given=text)
    near = difflib.get_close_matches(plain[:100], usual_scenarios(), cutoff=0)  # this takes the square of the length
    hint = "" if dataset in DATASETS else f" ({PLUGIN_HINT})"
    raise ValueError(
        f"{quoted(text)} is not a scenario; possible: <data set> <task> <protocol> [order=<name or labels>], with "
        f"a data set of {', '.join(DATASETS)}{hint}; nearest: {' or '.join(map(repr, near))}"
    )


def usual_scenarios() -> list[str]:
    """The scenarios of all data sets and protocols, of the tasks that the papers have."""
    return [
        joined(name, task, protocol)
        for name, entry in DATASETS.items()
        for task in dict.fromkeys((*entry.tasks, *entry.domain_tasks))
        if task != "joint"
        for protocol in protocols_of(name)
        if task in usual_tasks(name, protocol)
    ]


def protocols_of(dataset: str) -> tuple[str, ...]:
    """The protocols that a data set offers: `domain` only where it has domains."""
    return tuple(protocol for protocol in PROTOCOLS if protocol != DOMAIN or DATASETS[dataset].domains)


def usual_tasks(dataset: str, protocol: str) -> tuple[str, ...]:
    """The usual tasks of a data set in a protocol; in `domain` their numbers count domains."""
    return DATASETS[dataset].domain_tasks if protocol == DOMAIN else DATASETS[dataset].tasks


def task_fits(words: Words, n_labels: int | None) -> bool:
    """Whether the task of a scenario adds up to the classes of its data set, or to its domains."""
    return canonical_task(words.task, _total(words, n_labels)) is not None


def is_of_unknown_data_set(text: str) -> bool:
    """Whether a text is a scenario, but of a data set that is unknown here: its plugin may be absent."""
    match = _GRAMMAR.fullmatch(_plain(text[:LONGEST]))
    return match is not None and match[1] not in DATASETS and canonical_task(match[2], None) is not None


def has_domains(text: str) -> bool:
    """Whether a scenario is one of the protocol `domain`; its data set may be unknown here."""
    match = _GRAMMAR.fullmatch(_plain(text[:LONGEST]))
    return match is not None and match[3] == DOMAIN


def _plain(text: str) -> str:
    """Lower case, single spaces, and one spelling of each word."""
    plain = " ".join(text.lower().split())
    for pattern, replacement in _REWRITES:
        plain = re.sub(pattern, replacement, plain)
    return plain


def class_order(words: Words, n_labels: int) -> tuple[int, ...]:
    """The labels in the order in which they are learnt, 0 first.

    Raises:
        ValueError: There is no order of this name, or the list is not of all labels.
    """
    named = DATASETS[words.dataset].class_orders()
    natural = tuple(range(n_labels))
    if not words.order or words.order in named:
        return named.get(words.order, natural)
    if (seed := seed_of_order(words.order)) is not None:
        return random_order(seed, n_labels)
    possible = [*named, "random:<number>", "all labels, separated by commas"]
    problem = f"there is no order {quoted(words.order)}; possible: {', '.join(possible)}"
    if re.fullmatch("[0-9]{1,3}(,[0-9]{1,3})*", words.order):
        order = tuple(map(int, words.order.removeprefix("0,").split(",")))
        if sorted(order) == list(natural[1:]):
            return 0, *order
        missing = sorted(set(natural[1:]) - set(order))
        wrong = sorted({label for label in order if order.count(label) > 1 or label not in natural[1:]})
        problem = f"the order must hold each label 1..{natural[-1]} once; "
        problem += f"missing: {one_line(missing, 1000)}, wrong: {one_line(wrong, 1000)}"
    raise _error(words, problem, n_labels)


def task_and_protocol(words: Words, n_labels: int | None) -> tuple[str, str]:
    """The canonical task and protocol; `n_labels` is None where a user's folder decides it later.

    Raises:
        ValueError: The task does not fit the number of labels or domains, or the protocol is missing, unknown or not
            one of the data set.
    """
    n = _total(words, n_labels)
    task = canonical_task(words.task, n)
    protocol = "overlap" if task == "joint" and not words.protocol else words.protocol
    possible = protocols_of(words.dataset)
    if task and protocol in possible and not (words.order and protocol == DOMAIN):
        return task, protocol
    if protocol in possible and task:
        problem = "the protocol domain has no class order: every step has all classes"
    elif protocol == DOMAIN and DOMAIN not in possible:
        having = ", ".join(name for name, entry in DATASETS.items() if entry.domains)
        problem = f"{words.dataset} has no domains; data sets that have: {having}"
    elif task:
        problem = f"unknown protocol {quoted(protocol)}" if protocol else "the protocol is missing"
        problem += f"; possible: {', '.join(possible)}"
    else:
        what = "domains" if protocol == DOMAIN else "classes"
        total = f" = {n - 1} {what}" if n else ""
        tasks = f"base-increment with base + increment + … + increment{total}, each step's number as in 10+3+2"
        problem = f"the task {quoted(words.task)} does not fit; possible: {tasks}, or joint"
    raise _error(words, problem, n_labels, words.order)


def _total(words: Words, n_labels: int | None) -> int | None:
    """What a task has to add up to, and 1: the labels with background, or in the protocol `domain` the domains."""
    domains = DATASETS[words.dataset].domains
    return len(domains) + 1 if words.protocol == DOMAIN and domains else n_labels


def canonical_task(task: str, n_labels: int | None) -> str | None:
    """The canonical task: `10-5` also for `10+5`; None if `n_labels` labels cannot be split this way.

    In the protocol `domain`, `n_labels` is the number of domains and 1. Without a number, `10+5` stays as it is: it
    says that there are 15 classes, and `10-5` does not.
    """
    if task == "joint":
        return task
    if re.fullmatch(r"[0-9]{1,3}(\+[0-9]{1,3})+", task):
        base, *later = map(int, task.split("+"))
        if not min(base, *later) or (n_labels and base + sum(later) != n_labels - 1):
            return None
        alike = n_labels and len(set(later)) == 1
        return f"{base}-{later[0]}" if alike else "+".join(map(str, (base, *later)))
    match = re.fullmatch("([0-9]{1,3})-([0-9]{1,3})", task)
    if not match:
        return None
    base, increment = map(int, match.groups())
    rest = n_labels - 1 - base if n_labels else increment
    return f"{base}-{increment}" if min(base, increment, rest) > 0 and rest % increment == 0 else None


def step_sizes(task: str, n_classes: int) -> list[int]:
    """Number of classes that each step of a canonical task learns, the background not counted; or of domains."""
    if task == "joint":
        return [n_classes]
    if "+" in task:
        return list(map(int, task.split("+")))
    base, increment = map(int, task.split("-"))
    return [base, *[increment] * ((n_classes - base) // increment)]


def joined(dataset: str, task: str, protocol: str, order: str = "") -> str:
    """The text of a scenario's parts."""
    shown = "" if (task, protocol) == ("joint", "overlap") else protocol
    return " ".join(filter(None, (dataset, task, shown, order and f"order={order}")))


def _error(words: Words, problem: str, n_labels: int | None, order: str = "") -> ValueError:
    """The error with up to three valid texts near these words; `order` is what they keep of the order."""
    offered = protocols_of(words.dataset)
    if match := difflib.get_close_matches(words.protocol[:100], offered, n=1):
        words = words._replace(protocol=match[0])
    protocols = match or [protocol for protocol in offered if protocol != DOMAIN]
    n = _total(words, n_labels)
    task = canonical_task(words.task, n)
    tasks = [task] if task else _near_tasks(words.task, n)
    near = [joined(words.dataset, *rest, "" if DOMAIN in rest else order) for rest in product(tasks, protocols)]
    nearest = " or ".join(map(quoted, near[:3]))
    return ValueError(f"{quoted(words.given or words.canonical)}: {problem}; nearest: {nearest}")


def _near_tasks(task: str, n_labels: int | None) -> list[str]:
    numbers = [int(number) for number in re.findall("[0-9]{1,3}", task)]
    if "+" in task and (uneven := _near_uneven(numbers, n_labels)):
        return [uneven]
    n_labels = n_labels or 16  # a folder's number may be unknown
    n = n_labels - 1
    most = 999  # a task has numbers of three digits, and a folder may have thousands of classes
    sizes = {
        f"{b}-{i}": (b, i)
        for b in range(1, min(n - 1, most) + 1)
        for i in range(1, min(n - b, most) + 1)
        if (n - b) % i == 0
    }
    if len(numbers) != 2 or not sizes:
        return difflib.get_close_matches(task[:100], ["joint", *sizes]) or ["joint"]

    def distance(task: str) -> int:  # the base counts double: 100-7 is rather 100-5 than 101-7
        return 2 * abs(sizes[task][0] - numbers[0]) + abs(sizes[task][1] - numbers[1])

    return sorted(sizes, key=distance)[:3]


def _near_uneven(numbers: list[int], n_labels: int | None) -> str | None:
    """The same steps with another last one, so that all classes are learnt; None where that cannot be."""
    numbers = [number for number in numbers if number]
    if n_labels:
        while numbers and sum(numbers) > n_labels - 1:
            numbers.pop()
        if rest := n_labels - 1 - sum(numbers):
            numbers.append(rest)
    return canonical_task("+".join(map(str, numbers)), n_labels)
