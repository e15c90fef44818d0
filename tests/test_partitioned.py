"""The protocol `partitioned`: each training image is assigned to one of its classes."""

import numpy as np
import pytest

from plopkit.scenario import IGNORE, N_IDS, Scenario, assign_classes


def random_presence(count: int, seed: int = 0, n_labels: int = 21) -> np.ndarray:
    """Masks of one to four classes with background, some with ignored pixels, a few with no class."""
    rng = np.random.default_rng(seed)
    presence = np.zeros((count, N_IDS), dtype=bool)
    for row in presence:
        row[rng.choice(np.arange(1, n_labels), rng.integers(0, 5), replace=False)] = True
    presence[:, 0] = True
    presence[:, IGNORE] = rng.random(count) < 0.5
    return presence


STEMS = [f"2007_{index:06d}" for index in range(1000)]


@pytest.mark.parametrize("task", ["15-5", "15-1", "10+3+7", "joint"])
@pytest.mark.parametrize("order", ["", " order=b"])
def test_the_steps_partition_the_images(task: str, order: str) -> None:
    presence = random_presence(len(STEMS))
    assigned = assign_classes(presence, STEMS, seed=3)
    scenario = Scenario.parse(f"voc {task} partitioned{order}")
    used = np.stack([step.trains_on(assigned) for step in scenario.steps])
    has_a_class = presence[:, 1:IGNORE].any(axis=1)
    assert used.sum(axis=0).tolist() == has_a_class.astype(int).tolist()
    for step in scenario.steps:
        assert step.labelled == "new"
        assert all(assigned[index].nonzero()[0][0] in step.new for index in step.trains_on(assigned).nonzero()[0])
        assert step.evaluates_on(presence).sum() >= used[step.index].sum()


def test_the_class_of_an_image_depends_on_its_classes_its_name_and_the_seed_alone() -> None:
    presence = random_presence(len(STEMS))
    assigned = assign_classes(presence, STEMS, seed=3)
    assert assigned.shape == presence.shape and assigned.dtype == bool
    assert (assigned <= presence).all() and not assigned[:, [0, IGNORE]].any()
    order = np.random.default_rng(1).permutation(len(STEMS))
    shuffled = assign_classes(presence[order], [STEMS[index] for index in order], seed=3)
    assert (shuffled == assigned[order]).all()
    assert (assign_classes(presence[:10], STEMS[:10], seed=3) == assigned[:10]).all()
    assert (assign_classes(presence, STEMS, seed=4) != assigned).any()
    assert assign_classes(presence[:0], [], seed=0).shape == (0, N_IDS)


def test_classes_are_assigned_uniformly() -> None:
    count = 12_000
    presence = np.zeros((count, N_IDS), dtype=bool)
    presence[:, [0, 3, 7, 15, 20, IGNORE]] = True
    assigned = assign_classes(presence, [f"image {index}" for index in range(count)], seed=0)
    counts = assigned[:, [3, 7, 15, 20]].sum(axis=0)
    expected = count / 4
    assert ((counts - expected) ** 2 / expected).sum() < 16.3  # chi-square, 3 degrees of freedom: p > 0.001


def test_partitioned_refuses_an_image_of_several_classes() -> None:
    step = Scenario.parse("voc 15-5 partitioned").steps[0]
    with pytest.raises(ValueError, match="several in one row; apply assign_classes"):
        step.trains_on(random_presence(20))
