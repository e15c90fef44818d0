"""The memory of a run: which images of earlier steps are kept, what is known of them, and what they are trained with.

What a step keeps is a list of images with their digests, part of the state that it leaves for the next.
"""

from collections.abc import Callable, Iterable, Sequence

import numpy as np
from jaxtyping import Bool, Integer

from plopkit.datasets.kept import Kept, checked, described, positions_of
from plopkit.datasets.scenario_data import ScenarioData
from plopkit.datasets.steps import Selection
from plopkit.memory import Budget, balanced_choice, random_choice
from plopkit.scenario import Step
from plopkit.settings import Memory
from plopkit.support.bars import notice
from plopkit.support.seeding import seed_of

CHOICE = 4
"""Number of the random numbers by which a memory is chosen, among those of a step."""


BUDGET = ("images", "mb")
"""Settings of `Memory` that limit it."""


def candidates(data: ScenarioData, step: Step, recognised: Bool[np.ndarray, "N n_seen"] | None = None) -> list[Kept]:
    """The images that a step trains on by its protocol, in their order.

    Args:
        data: The scenario's images.
        step: The step.
        recognised: The channels that each of them is taken to show; None for those of its annotation.
    """
    known = step.seen if step.labelled == "seen" else step.new
    positions = np.flatnonzero(step.trains_on(data.presence[0]))
    columns = [label for label in known if label]
    there = data.mask_presence[0][positions][:, columns]
    if recognised is not None:
        columns, there = [label for label in step.seen if label], recognised[:, 1:]
    shows = [tuple(np.array(columns)[row].tolist()) for row in there]
    stems = data.train.stems
    return [Kept(stems[at], "", 0, known, shown) for at, shown in zip(positions.tolist(), shows, strict=True)]


def joined(before: Iterable[Kept], now: Iterable[Kept]) -> list[Kept]:
    """Candidates of a choice: the memory, then the step's images; one that is in both is known by both."""
    found = {image.name: image for image in before}
    for image in now:
        if (earlier := found.get(image.name)) is not None:
            known, shows = (_union(*pair) for pair in ((earlier.known, image.known), (earlier.shows, image.shows)))
            image = earlier._replace(known=known, shows=shows)
        found[image.name] = image
    return list(found.values())


def choose(
    images: Sequence[Kept], data: ScenarioData, memory: Memory, step: Step, strict: bool = True
) -> tuple[Kept, ...]:
    """The images that are kept after a step.

    Args:
        images: The candidates.
        data: The scenario's images, and the settings, of which the seed counts.
        memory: The rule and the budget.
        step: The step that ends; balanced are the classes seen so far.
        strict: Whether a class without room for one of its images is an error; otherwise it is a notice.

    Raises:
        ValueError: There is no candidate, or the budget has no room for an image, or for one of each class.
    """
    if not images:
        raise ValueError(
            f"the memory would be empty: none of the {len(data.train)} training images is of steps 0 to {step.index}; "
            "add their images, go on from a run with a memory, or train without one"
        )
    train, where = data.train, positions_of(data.train)
    budget = budget_of(memory)
    sizes = np.zeros(len(images), np.int64)
    if budget.size is not None:
        sizes = np.array([image.size or train.stored_bytes(where[image.name]) for image in images])
    classes = [label for label in step.seen if label]
    shows = np.array([[label in image.shows for label in classes] for image in images])
    if memory.choice == "random":
        taken = random_choice([image.name for image in images], sizes, budget, data.settings.seed)
    else:
        rng = np.random.default_rng(seed_of(data.settings.seed, step.index, CHOICE))
        taken = balanced_choice(shows, sizes, budget, rng.shuffle)
    n_lacking = int((shows.any(axis=0) & ~shows[taken].any(axis=0)).sum())
    if not taken or (memory.choice == "balanced" and n_lacking):
        message = too_small(memory, step, len(taken), len(classes), n_lacking)
        if strict or not taken:
            raise ValueError(message)
        notice(message)
    return tuple(described(images[index], train, where[images[index].name]) for index in taken)


def budget_of(memory: Memory) -> Budget:
    """The budget that settings ask for."""
    return Budget(memory.images, None if memory.mb is None else int(memory.mb * 1e6))


def in_words(memory: Memory) -> str:
    """The settings that limit a memory, such as "memory.images 100"."""
    return ", ".join(f"memory.{name} {value}" for name in BUDGET if (value := getattr(memory, name)) is not None)


def too_small(memory: Memory, step: Step, n_taken: int, n_classes: int, n_lacking: int) -> str:
    """What is wrong with a budget."""
    given = in_words(memory)
    if not n_taken:
        return f"{given}: no room for an image with its mask; raise it"
    return (
        f"{given}: no room for an image of each of the {n_classes} classes of steps 0 to {step.index} "
        f"({n_lacking} would have none); raise it, or choose at random: memory.choice random"
    )


def planned(
    data: ScenarioData, memory: Memory, given: tuple[Kept, ...] = (), n_given: int = 0
) -> list[tuple[Kept, ...]]:
    """What is kept after each step but the last, as far as annotations decide, without a net.

    Args:
        data: The scenario's images.
        memory: The rule and the budget.
        given: The memory after the steps that are given, if they have one; otherwise their images make it.
        n_given: Number of these steps. What is kept before the last of them does not matter, and may be nothing.

    Raises:
        ValueError: As for `choose`.
    """
    kept = [given] * n_given if given else []
    for step in data.scenario.steps[len(kept) : -1]:
        images = joined(kept[-1] if kept else (), candidates(data, step))
        kept.append(choose(images, data, memory, step) if images or step.index >= n_given - 1 else ())
    return kept


def selected(
    images: Iterable[Kept],
    data: ScenarioData,
    memory: Memory,
    step: Step,
    adapted: Callable[[Selection, Step], Selection] = lambda kept, step: kept,
) -> Selection:
    """What a step trains on of the memory; added to the selection of its own images.

    Args:
        images: The memory.
        data: The scenario's images.
        memory: Which labels targets show, and how they come into batches.
        step: The step.
        adapted: Changes the targets, as `Method.memory_images`.

    Raises:
        ValueError: An image is not among the training images, or is another than it was.
    """
    where = positions_of(data.train)
    groups: dict[tuple[int, ...], list[int]] = {}
    for image in images:
        groups.setdefault(image.known, []).append(checked(image, data.train, where))
    selection = Selection()
    for known, positions in groups.items():
        selection += Selection.of(positions, lookup_of(step, known, memory.labels))
    selection = adapted(selection, step)
    return selection if memory.mix == "beside" else selection.replacing()


def lookup_of(step: Step, known: Sequence[int], labels: str) -> Integer[np.ndarray, "ids"]:
    """The target of each label in a memory image.

    Args:
        step: The step that trains on it.
        known: Labels that its annotation tells apart; all others are background.
        labels: As `Memory.labels`: "kept", "seen" or "new".
    """
    if labels != "kept":
        return step.lookup(labels)
    table = step.lookup("seen").copy()
    table[[label for label in step.seen if label not in known]] = 0
    return table


def _union(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...]:
    return first + tuple(label for label in second if label not in first)
