"""A scenario's images under its settings: what each step trains on, is evaluated on, and shows."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from plopkit.datasets.scenario_data import Batch, Samples, ScenarioData, StepData, evenly_spaced
from plopkit.datasets.steps import Selection
from plopkit.datasets.transforms import eval_transform, picture
from plopkit.scenario import IGNORE, Scenario, assign_classes
from plopkit.settings import Data, Optim, Settings


def opened(root: Path, text: str = "folder 2-1 overlap", batch: int = 2) -> ScenarioData:
    return ScenarioData.open(Settings(scenario=text, data=Data(root=root, size=32), optim=Optim(batch=batch)))


def test_each_step_trains_on_the_images_that_its_protocol_uses(folder_root: Callable[..., Path]) -> None:
    data = opened(folder_root(train=9, classes=4))  # the labels of image i: 1 + i % 3 and 1 + (i + 1) % 3
    first, second = data.scenario.steps
    assert data.train_loader(first).dataset.indices.tolist() == list(range(9))
    assert data.train_loader(second).dataset.indices.tolist() == [1, 2, 4, 5, 7, 8]
    everything = Selection.all_seen(second, data.presence[0])
    assert data.train_loader(second, everything).dataset.indices.tolist() == list(range(9))
    targets = {label for _, target in data.train_loader(second) for label in target.unique().tolist()}
    assert targets == {0, 3, IGNORE}
    targets = {label for _, target in data.train_loader(second, everything) for label in target.unique().tolist()}
    assert targets == {0, 1, 2, 3, IGNORE}
    disjoint = opened(folder_root(train=9, classes=4), "folder 2-1 disjoint")
    assert disjoint.train_loader(disjoint.scenario.steps[0]).dataset.indices.tolist() == [0, 3, 6]


def test_evaluation_shows_the_labels_so_far_and_the_rest_as_background(folder_root: Callable[..., Path]) -> None:
    data = opened(folder_root(val=6, classes=5), "folder 2-2 overlap order=4,3,2,1")
    first, second = data.scenario.steps
    labels = [{label for _, t in data.eval_loader(s) for label in t.unique().tolist()} for s in (first, second)]
    assert labels == [{0, 1, 2, IGNORE}, {0, 1, 2, 3, 4, IGNORE}]
    assert data.eval_loader(first).dataset.indices.tolist() == [1, 2, 3, 5]  # those with label 3 or 4
    assert data.eval_loader(second).dataset.indices.tolist() == list(range(6))


@pytest.mark.parametrize("future", ["background", "void", "left_out"])
def test_what_future_classes_count_as_by_a_plain_loop(folder_root: Callable[..., Path], future: str) -> None:
    root = folder_root(val=6, classes=5)
    text = "folder 2-2 overlap order=4,3,2,1"
    settings = Settings(scenario=text, future=future, data=Data(root=root, size=32), optim=Optim(batch=2))
    data = ScenarioData.open(settings)
    sizes = []
    for step in data.scenario.steps:
        expected = []
        for index in range(6):
            mask = eval_transform(32)(data.val.read(index), None).mask
            labels = set(mask.unique().tolist())
            if future != "left_out" and not labels & set(step.seen[1:]):
                continue
            channels = {label: channel for channel, label in enumerate(step.seen)}
            hidden = 0 if future == "background" else IGNORE
            channels |= dict.fromkeys(step.future, hidden) | {IGNORE: IGNORE}
            expected.append([[channels[label] for label in row] for row in mask.tolist()])
        targets = [target.tolist() for _, batch in data.eval_loader(step) for target in batch]
        assert targets == expected
        sizes.append(len(targets))
    assert sizes == ([6, 6] if future == "left_out" else [4, 6]) == data.table()["validation images"].tolist()
    shown = {label for _, target in data.train_loader(data.scenario.steps[0]) for label in target.unique().tolist()}
    assert shown == {0, 1, 2, IGNORE}  # training is not concerned


def test_a_step_with_too_few_images_is_named_before_anything_is_trained(folder_root: Callable[..., Path]) -> None:
    message = r"folder 2-1 disjoint, step 0: this step has 3 training images, fewer than one batch of 4"
    with pytest.raises(ValueError, match=message):
        opened(folder_root(train=9), "folder 2-1 disjoint", batch=4)


@pytest.mark.parametrize(("index", "split"), [(0, "train"), (1, "train"), (2, "val")])
def test_samples_of_a_step(folder_root, index, split):
    data = opened(folder_root(train=12, val=8, classes=5))
    step = data.scenario.steps[index]
    batch = data.samples(step, 3, split)
    table = step.lookup("new")
    assert 1 <= len(batch.images) == len(batch.pictures) == len(batch.masks) <= 3
    for image, target, mask, shown in zip(batch.images, batch.target, batch.masks, batch.pictures, strict=True):
        present = set(mask.unique().tolist())
        assert present & set(step.new) - {0} and (index == 0 or present & set(step.old) - {0})
        assert shown.dtype == torch.uint8 and torch.equal(shown, picture(image))
        expected = [[int(table[label]) for label in row] for row in mask.tolist()]
        assert target.tolist() == expected


def test_samples_of_other_splits_are_refused(folder_root):
    data = opened(folder_root())
    with pytest.raises(ValueError, match="'train' or 'val', not 'test'"):
        data.samples(data.scenario.steps[0], 2, "test")


def test_samples_are_evenly_spaced() -> None:
    allowed, none = np.array([True, True, False, True, True, True]), np.zeros(6, bool)
    assert evenly_spaced(allowed, none, 3).tolist() == [0, 3, 5]
    assert evenly_spaced(allowed, none, 9).tolist() == [0, 1, 3, 4, 5]
    assert evenly_spaced(allowed, np.array([False, True, False, False, True, False]), 3).tolist() == [1, 4]
    assert evenly_spaced(none, none, 3).tolist() == []


def test_examples_show_labels_of_the_first_and_the_last_step(folder_root: Callable[..., Path]) -> None:
    data = opened(folder_root(val=8, classes=5), "folder 2-1 overlap")
    last = data.scenario.steps[-1]
    examples = data.examples(2)
    assert len(examples) == 2
    for index, (_, target) in zip(examples.indices, examples, strict=False):
        present = data.val.labels(int(index))
        assert present & {1, 2} and 4 in present
        assert set(target.unique().tolist()) - {IGNORE} <= set(range(last.n_seen))


def test_a_scenario_argument_replaces_that_of_the_settings(folder_root: Callable[..., Path]) -> None:
    root = folder_root(classes=5)
    settings = Settings(scenario="folder 2-1 overlap", data=Data(root=root, size=32), optim=Optim(batch=2))
    scenario = Scenario.parse("folder 2-2 overlap", 5)
    assert ScenarioData.open(settings, scenario).scenario is scenario
    assert ScenarioData.open(settings).scenario == Scenario.parse("folder 2-1 overlap", 5)


def test_a_loader_of_a_selection_loads_that_selection(folder_root: Callable[..., Path]) -> None:
    data = opened(folder_root(train=9, classes=4))
    second = data.scenario.steps[1]
    own = Selection.protocol(second, data.presence[0])
    for default, selected in zip(data.train_loader(second), data.train_loader(second, own), strict=True):
        assert all(map(torch.equal, default, selected))
    memory = Selection.of([0, 3], second.lookup("seen"))
    loader = data.train_loader(second, own + memory)
    assert loader.dataset.indices.tolist() == [*own.indices.tolist(), 0, 3]
    assert {label for _, target in loader for label in target.unique().tolist()} > {0, 3, IGNORE}
    with pytest.raises(ValueError, match=r"folder 2-1 overlap, step 1: this step has 1 training images"):
        data.train_loader(second, Selection.of([0], second.lookup()))


def test_partitioned_steps_train_on_different_images(folder_root: Callable[..., Path]) -> None:
    data = opened(folder_root(train=40, classes=5), "folder 2-1 partitioned", batch=1)
    steps = data.scenario.steps
    indices = [data.train_loader(step).dataset.indices.tolist() for step in steps]
    assert sorted(index for images in indices for index in images) == list(range(40))  # every image shows a class
    assert np.array_equal(data.presence[0], assign_classes(data.mask_presence[0], data.train.stems, 0))
    assert np.array_equal(data.presence[1], data.mask_presence[1])
    for step, images in zip(steps, indices, strict=True):
        assert images and all(data.train.labels(index) & set(step.new) - {0} for index in images)
        targets = {label for _, target in data.train_loader(step) for label in target.unique().tolist()}
        assert targets == {0, *range(max(1, step.n_old), step.n_seen), IGNORE}
    assert data.table()["training images"].tolist() == list(map(len, indices))
    samples = data.samples(steps[2], 4)
    assert all(set(mask.unique().tolist()) & {4} for mask in samples.masks)


def test_earlier_names_stay() -> None:
    assert (StepData, Batch, ScenarioData.look) == (ScenarioData, Samples, ScenarioData.samples)
