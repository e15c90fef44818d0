"""Which images are kept: plain loops, the released codes' own choices, and what images are taken to show."""

import hashlib
import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from plopkit.memory import Budget, balanced_choice, one_class_off, random_choice, recognised, shown_labels
from plopkit.scenario import IGNORE, Scenario

LATER = Path(__file__).parent / "golden" / "later"
BUDGETS = [Budget(5), Budget(1000), Budget(None, 90), Budget(6, 60), Budget(0), Budget(None, 9)]


def drawn(seed: int, n: int = 30, n_classes: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """What some candidates show, none of them class 5, and their sizes."""
    rng = np.random.default_rng(seed)
    shows = rng.random((n, n_classes)) < 0.3
    shows[:, 5] = False
    return shows, rng.integers(10, 40, n)


def within(budget: Budget, sizes: np.ndarray, taken: list[int]) -> bool:
    few = budget.images is None or len(taken) <= budget.images
    return few and (budget.size is None or sum(int(sizes[index]) for index in taken) <= budget.size)


def balanced_by_loops(shows: np.ndarray, sizes: np.ndarray, budget: Budget, rng: Any) -> list[int]:
    """The rule as SSUL-M's code goes through it, one class after the other, round after round."""
    left, classes = list(range(len(shows))), list(range(shows.shape[1]))
    rng.shuffle(left)
    rng.shuffle(classes)
    taken: list[int] = []
    for _ in range(len(shows)):
        for label in classes:
            for index in left:
                if shows[index][label] and within(budget, sizes, [*taken, index]):
                    left.remove(index)
                    taken.append(index)
                    break
    return taken


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_balanced_choice_equals_plain_loops(budget: Budget) -> None:
    for seed in range(5):
        shows, sizes = drawn(seed)
        found = balanced_choice(shows, sizes, budget, np.random.default_rng(seed).shuffle)
        assert found == balanced_by_loops(shows, sizes, budget, np.random.default_rng(seed))
        assert within(budget, sizes, found)


def test_a_balanced_choice_has_each_class_as_often_as_the_others() -> None:
    shows = np.eye(3, dtype=bool)[[0] * 50 + [1] * 10 + [2] * 4]
    found = balanced_choice(shows, np.ones(64, int), Budget(12), np.random.default_rng(0).shuffle)
    assert shows[found].sum(axis=0).tolist() == [4, 4, 4]
    more = balanced_choice(shows, np.ones(64, int), Budget(20), np.random.default_rng(0).shuffle)
    assert shows[more].sum(axis=0).tolist() == [8, 8, 4]  # there are no others of the last class
    assert len(balanced_choice(shows, np.ones(64, int), Budget(), np.random.default_rng(0).shuffle)) == 64


@pytest.mark.parametrize("budget", BUDGETS)
def test_a_random_choice_equals_a_plain_loop(budget: Budget) -> None:
    names, sizes = [f"image {i}" for i in range(30)], drawn(1)[1]
    keys = {name: hashlib.blake2b(f"7/{name}".encode(), digest_size=16).hexdigest() for name in names}
    expected: list[int] = []
    for name in sorted(names, key=lambda name: keys[name]):
        index = names.index(name)
        if within(budget, sizes, [*expected, index]):
            expected.append(index)
    assert random_choice(names, sizes, budget, 7) == expected


def test_a_random_choice_is_uniform_over_all_steps() -> None:
    """Of 40 images in four steps each is kept equally often, and step by step as at once."""
    names, count = [f"{i}" for i in range(40)], np.zeros(40)
    for seed in range(300):
        kept: list[str] = []
        for begin in range(0, 40, 10):
            offered = kept + names[begin : begin + 10]
            kept = [offered[i] for i in random_choice(offered, np.ones(len(offered), int), Budget(8), seed)]
        assert kept == [names[i] for i in random_choice(names, np.ones(40, int), Budget(8), seed)]
        count[[int(name) for name in kept]] += 1
    expected = 300 * 8 / 40
    assert abs(count.reshape(4, 10).sum(axis=1) / 10 - expected).max() < 8  # two and a half standard deviations
    assert ((count - expected) ** 2 / expected).sum() < 62.4  # chi-squared of 39, 1 %


def test_sizes_do_not_matter_to_a_random_choice_of_a_number_of_images() -> None:
    names, rng = [f"{i}" for i in range(40)], np.random.default_rng(0)
    for seed in range(50):
        sizes = rng.integers(1, 1000, 40)
        assert random_choice(names, sizes, Budget(8), seed) == random_choice(names, np.ones(40, int), Budget(8), seed)


def test_small_images_are_kept_more_often_where_bytes_are_the_limit() -> None:
    sizes, count = np.array([10] * 20 + [100] * 20), np.zeros(2)
    for seed in range(300):
        taken = random_choice([f"{i}" for i in range(40)], sizes, Budget(None, 300), seed)
        assert sizes[taken].sum() <= 300
        count += np.bincount(np.array(taken) // 20, minlength=2)
    assert count[0] > 2 * count[1] > 0


def golden_of(file: str, step: str) -> dict[str, Any]:
    with np.load(LATER / f"{file}.npz") as arrays:
        return {name.partition("/")[2]: arrays[name] for name in arrays.files if name.startswith(f"{step}/")}


def golden_shows(file: str, step: str, arrays: dict[str, Any]) -> list[list[int]]:
    """The classes that each candidate is taken to show: from step 2 on, with what the net recognises."""
    labels = torch.from_numpy(arrays["targets" if file == "ssul" else "labels"]).long()
    scores = torch.from_numpy(arrays["logits_old"]).repeat_interleave(6, 2).repeat_interleave(6, 3).sigmoid()
    if file == "ssul":  # unknown, background and the classes
        scores = torch.cat([scores[:, :2].amax(1, keepdim=True), scores[:, 2:]], 1)
        labels = torch.where(labels == IGNORE, IGNORE, (labels - 1).clamp(min=0))
    else:
        scores[:, 0] = 0  # the auxiliary channel
    target = labels if step == "memory_step1" else recognised(scores, labels, 0.7 if file == "ssul" else 0.9)
    there = shown_labels(target, 21).numpy()
    return [(1 + np.flatnonzero(row[1:])).tolist() for row in there]


@pytest.mark.parametrize("step", ["memory_step1", "memory_step2"])
@pytest.mark.parametrize("file", ["ssul", "dkd"])
def test_the_released_codes_keep_these_images(file: str, step: str) -> None:
    """SSUL-M and DKD-M: the same images, and of each the same labels, from the same candidates and seed."""
    arrays = golden_of(file, step)
    before = [(entry[0], entry[-1]) for entry in json.loads(str(arrays["old_memory_json"]))]
    chosen = {entry[0]: entry[-1] for entry in json.loads(str(arrays["candidates_selected_json"]))}
    form = "im{:03d}" if file == "ssul" else "/JPEGImages/im{0:03d}.jpg /SegmentationClassAug/im{0:03d}.png"
    now = [(form.format(i), shown) for i, shown in enumerate(golden_shows(file, step, arrays))]
    ignored = IGNORE - 1 if file == "ssul" else IGNORE  # recorded as well, one lower
    assert [(name, shown) for name, shown in now if name in chosen] == [
        (name, [label for label in chosen[name] if label != ignored]) for name, _ in now if name in chosen
    ]
    n_classes = int(arrays["n_old_with_background"]) - 1 if file == "ssul" else int(arrays["n_old_classes"])
    offered = before + now
    shows = np.array([[label in shown for label in range(1, n_classes + 1)] for _, shown in offered])
    rng = np.random.RandomState(int(arrays["numpy_seed"]))
    taken = balanced_choice(shows, np.ones(len(shows), int), Budget(int(arrays["size"])), rng.shuffle)
    assert sorted(offered[i][0] for i in taken) == sorted(json.loads(str(arrays["names_json"])))


def test_recognised_classes_equal_a_plain_loop() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = torch.rand(2, 4, 5, 6, generator=generator)
    target = torch.randint(0, 4, (2, 5, 6), generator=generator)
    target[0, 0] = IGNORE
    found = recognised(scores, target, 0.8)
    for b, y, x in itertools.product(range(2), range(5), range(6)):
        values = scores[b, :, y, x].tolist()
        best = values.index(max(values))
        taken = target[b, y, x] == 0 and best > 0 and max(values) >= 0.8
        assert found[b, y, x] == (best if taken else target[b, y, x])
    assert (found != target).any()


def test_shown_labels_leave_out_ignored_pixels() -> None:
    target = torch.tensor([[[0, 2], [IGNORE, 2]], [[IGNORE, IGNORE], [IGNORE, 1]]])
    assert shown_labels(target, 4).tolist() == [[True, False, True, False], [False, True, False, False]]


@pytest.mark.parametrize(("case", "scenario", "step"), [("voc_15_5", "voc 15-5", 1), ("voc_15_1_step2", "voc 15-1", 2)])
def test_memory_targets_of_ssul_are_one_class_off(case: str, scenario: str, step: int) -> None:
    """Released, and what they should be, in the released channels: unknown, background, class 1, …"""
    arrays = {name: torch.from_numpy(value) for name, value in golden_of("ssul", case).items() if value.dtype != object}
    seen = Scenario.parse(f"{scenario} overlap").steps[step].lookup("seen")
    unknown = IGNORE - 1

    def released_channels(lookup: np.ndarray) -> Tensor:
        """Targets raised by one, as those of training images, the unknown ones to 0."""
        target = torch.from_numpy(lookup.astype(np.int64))[arrays["labels_full"].long()]
        return torch.where(target == IGNORE, IGNORE, torch.where(target == unknown, 0, target + 1))

    expected = arrays["target_memory_released"].long()
    assert torch.equal(released_channels(one_class_off(seen, unknown)), expected)
    assert not torch.equal(released_channels(seen), expected)
    new = torch.isin(arrays["labels_full"], arrays["new_classes"])
    assert torch.equal(released_channels(seen)[new], arrays["target_train"].long()[new])  # the right ones
