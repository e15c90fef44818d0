"""What a step trains on: selections of images, their targets, and their order."""

import numpy as np
import pytest
import torch
from coloured import Coloured
from torch import Tensor
from torch.utils.data import SequentialSampler

from plopkit.datasets.steps import EpochSampler, Selection, StepDataset, eval_loader, train_loader
from plopkit.datasets.transforms import eval_transform, train_transform
from plopkit.scenario import IGNORE, N_IDS, Scenario

TRAIN = train_transform(32, (0.5, 1.0))


@pytest.mark.parametrize("labelled", ["new", "seen"])
@pytest.mark.parametrize("text", ["voc 15-5 overlap", "voc 15-1 disjoint order=b", "voc 10-5 sequential"])
def test_targets_equal_a_loop(text: str, labelled: str) -> None:
    step = Scenario.parse(text).steps[1]
    source = Coloured(3)
    dataset = StepDataset(source, Selection.of([2, 0], step.lookup(labelled)), eval_transform(20))
    shown = step.new if labelled == "new" else step.seen
    assert len(dataset) == 2
    for position, index in enumerate((2, 0)):
        _, target = dataset[position]
        labels = eval_transform(20)(source.read(index)).mask
        for label, channel in zip(labels.flatten().tolist(), target.flatten().tolist(), strict=True):
            if label == IGNORE:
                assert channel == IGNORE
            else:
                assert channel == (step.seen.index(label) if label in shown else 0)


def test_a_sample_depends_on_its_seed_only() -> None:
    dataset = StepDataset(
        Coloured(4), Selection.of(np.arange(4), Scenario.parse("voc joint").steps[0].lookup("seen")), TRAIN
    )
    image, target = dataset[3, 11]
    assert image.dtype == target.dtype == torch.uint8
    dataset[0, 5], torch.rand(3)
    assert torch.equal(dataset[3, 11][0], image)
    assert not torch.equal(dataset[3, 12][0], image)


def test_sampler_draws_a_new_permutation_each_epoch() -> None:
    sampler = EpochSampler(50, seed=3)
    first = list(sampler)
    assert len(sampler) == 50
    assert sorted(position for position, _ in first) == list(range(50))
    assert [position for position, _ in first] != list(range(50))
    assert len({seed for _, seed in first}) == 50
    assert list(sampler) == first
    sampler.epoch = 1
    second = list(sampler)
    assert [position for position, _ in second] != [position for position, _ in first]
    assert not {seed for _, seed in first} & {seed for _, seed in second}
    assert sorted(position for position, _ in second) == list(range(50))


def test_sampler_depends_on_seed_and_epoch_only() -> None:
    def drawn(seed: int, epoch: int) -> list[tuple[int, int]]:
        sampler = EpochSampler(20, seed)
        sampler.epoch = epoch
        return list(sampler)

    assert drawn(1, 5) == drawn(1, 5)
    epochs = [drawn(seed, epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    assert all(a != b for i, a in enumerate(epochs) for b in epochs[:i])


@pytest.mark.parametrize("shard", [(0, 1), (0, 2), (1, 2)])
def test_an_epoch_can_begin_with_any_batch(shard: tuple[int, int]) -> None:
    whole = list(EpochSampler(24, 3, 7, shard))
    for first in range(4):
        sampler = EpochSampler(24, 3, 7, shard)
        sampler.first = first
        assert list(sampler) == whole[first * sampler.per_batch :]
        assert len(sampler) == len(whole)


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 7])
def test_processes_share_every_batch(processes: int) -> None:
    whole = list(EpochSampler(24, 3, batch=7))
    assert len(whole) == 21  # the last, incomplete batch is left out
    assert whole == list(EpochSampler(24, 3))[:21]
    parts = [EpochSampler(24, 3, 7, (number, processes)) for number in range(processes)]
    assert sum(part.per_batch for part in parts) == 7
    assert max(part.per_batch for part in parts) - min(part.per_batch for part in parts) <= 1
    drawn = [list(part) for part in parts]
    assert [len(pairs) for pairs in drawn] == [len(part) for part in parts]
    for index in range(3):
        shares = [pairs[index * part.per_batch :][: part.per_batch] for part, pairs in zip(parts, drawn, strict=True)]
        assert sorted(pair for share in shares for pair in share) == sorted(whole[7 * index : 7 * index + 7])


def batches_of(workers: int, epoch: int) -> list[tuple[Tensor, Tensor]]:
    dataset = StepDataset(
        Coloured(10), Selection.of(np.arange(9), Scenario.parse("voc joint").steps[0].lookup("seen")), TRAIN
    )
    loader = train_loader(dataset, batch=2, seed=7, workers=workers)
    loader.sampler.epoch = epoch
    return list(loader)


def test_workers_change_nothing() -> None:
    without, with_workers = batches_of(0, 1), batches_of(2, 1)
    assert len(without) == len(with_workers) == 4  # the last, incomplete batch is dropped
    for a, b in zip(without, with_workers, strict=True):
        assert a[0].shape == (2, 3, 32, 32)
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert not torch.equal(without[0][0], batches_of(0, 2)[0][0])


def test_evaluation_loads_every_image_once_in_order() -> None:
    source = Coloured(5)
    dataset = StepDataset(
        source, Selection.of(np.array([4, 1, 2]), np.arange(N_IDS, dtype=np.uint8)), eval_transform(40)
    )
    loader = eval_loader(dataset, batch=2)
    assert isinstance(loader.sampler, SequentialSampler)
    targets = torch.cat([target for _, target in loader])
    expected = [eval_transform(40)(source.read(index)).mask for index in (4, 1, 2)]
    assert torch.equal(targets, torch.stack(expected))


def test_too_few_images_are_reported() -> None:
    dataset = StepDataset(Coloured(3), Selection.of(np.arange(3), np.arange(N_IDS, dtype=np.uint8)), TRAIN)
    assert len(train_loader(dataset, batch=3, seed=0)) == 1
    with pytest.raises(ValueError, match=r"has 3 training images, fewer than one batch of 4; lower optim.batch"):
        train_loader(dataset, batch=4, seed=0)


def test_groups_of_a_selection_keep_their_lookup_tables() -> None:
    second = Scenario.parse("voc 15-5 overlap").steps[1]
    source = Coloured(5)
    selection = Selection.of([3, 0], second.lookup()) + Selection.of([4, 0], second.lookup("seen"))
    assert len(selection) == 4
    assert selection.indices.tolist() == [3, 0, 4, 0]
    dataset = StepDataset(source, selection, eval_transform(20))
    assert dataset.indices.tolist() == [3, 0, 4, 0]
    for position, (index, labelled) in enumerate(((3, "new"), (0, "new"), (4, "seen"), (0, "seen"))):
        alone = StepDataset(source, Selection.of([index], second.lookup(labelled)), eval_transform(20))
        for value, expected in zip(dataset[position], alone[0], strict=True):
            assert torch.equal(value, expected)


@pytest.mark.parametrize("protocol", ["overlap", "disjoint", "sequential"])
def test_selections_of_a_protocol_and_of_all_seen_labels(protocol: str) -> None:
    presence = np.random.default_rng(0).random((40, N_IDS)) < 0.05
    for step in Scenario.parse(f"voc 15-1 {protocol}").steps:
        (group,) = Selection.protocol(step, presence).groups
        assert group.indices.tolist() == [i for i in range(40) if step.uses(np.flatnonzero(presence[i]))]
        assert np.array_equal(group.lookup, step.lookup(step.labelled))
        (group,) = Selection.all_seen(step, presence).groups
        assert group.indices.tolist() == [i for i in range(40) if set(np.flatnonzero(presence[i])) & set(step.seen[1:])]
        assert np.array_equal(group.lookup, step.lookup("seen"))


def test_an_empty_group_changes_nothing() -> None:
    step = Scenario.parse("voc 15-5 overlap").steps[1]
    some = Selection.of([1, 2], step.lookup())
    for selection in (some + Selection.of([], step.lookup("seen")), Selection() + some):
        assert selection.indices.tolist() == [1, 2]
        assert len(StepDataset(Coloured(3), selection, TRAIN)) == 2
    assert len(Selection()) == 0
    assert len(StepDataset(Coloured(3), Selection(), TRAIN)) == 0


@pytest.mark.parametrize("indices", [np.array([True, False]), np.array([[0, 1]]), np.array([0.5])])
def test_a_selection_takes_positions_only(indices: np.ndarray) -> None:
    with pytest.raises(
        ValueError, match=r"needs the positions of images, integers in one dimension, not .*flatnonzero"
    ):
        Selection.of(indices, np.arange(N_IDS))


def test_a_selection_takes_complete_lookup_tables_only() -> None:
    with pytest.raises(ValueError, match=r"a lookup table has the shape \(256,\), not \(21,\)"):
        Selection.of([0], np.arange(21))


# Images that take half of the places


@pytest.mark.parametrize(("batch", "n_memory"), [(8, 3), (7, 20), (2, 1)])
def test_half_of_every_batch_is_replaced(batch: int, n_memory: int) -> None:
    sampler = EpochSampler(30, 3, batch, n_replacements=n_memory)
    drawn = [position for position, _ in sampler]
    assert len(drawn) == len(sampler) == 30 // batch * batch
    batches = [drawn[begin : begin + batch] for begin in range(0, len(drawn), batch)]
    replaced = [[position for position in each if position >= 30] for each in batches]
    assert {len(each) for each in replaced} == {batch // 2}
    own = [position for position in drawn if position < 30]
    assert len(set(own)) == len(own)  # no image of the epoch twice
    memory = [position - 30 for each in replaced for position in each]
    for begin in range(0, len(memory), n_memory):  # all of them before one comes again
        assert len(set(memory[begin : begin + n_memory])) == len(memory[begin : begin + n_memory])
    assert set(memory) <= set(range(n_memory))
    places = [[place for place, position in enumerate(each) if position >= 30] for each in batches]
    assert len(set(map(tuple, places))) > 1 or batch == 2


def test_processes_share_a_batch_with_replacements_and_begin_anywhere() -> None:
    whole = list(EpochSampler(24, 3, 7, n_replacements=5))
    parts = [list(EpochSampler(24, 3, 7, (process, 2), 5)) for process in (0, 1)]
    sizes = [EpochSampler(24, 3, 7, (process, 2), 5).per_batch for process in (0, 1)]
    for index in range(3):
        both = [part[index * size : (index + 1) * size] for part, size in zip(parts, sizes, strict=True)]
        assert sorted(both[0] + both[1]) == sorted(whole[7 * index : 7 * (index + 1)])
    later = EpochSampler(24, 3, 7, n_replacements=5)
    later.first = 1
    assert list(later) == whole[7:]
    later.epoch = 1
    assert list(later) != whole[7:]


def test_replacements_are_no_images_of_the_epoch() -> None:
    step = Scenario.parse("voc 15-5 overlap").steps[1]
    memory = Selection.of([4, 5], step.lookup("seen"))
    selection = Selection.of([2, 0, 1], step.lookup("new")) + memory.replacing()
    assert len(selection) == 3 and selection.indices.tolist() == [2, 0, 1, 4, 5]
    loader = train_loader(StepDataset(Coloured(6), selection, TRAIN), 2, 0)
    assert len(loader) == 1 and loader.sampler.n_replacements == 2
    beside = Selection.of([2, 0, 1], step.lookup("new")) + memory
    assert len(beside) == 5 and len(train_loader(StepDataset(Coloured(6), beside, TRAIN), 2, 0)) == 2
    with pytest.raises(ValueError, match="this step has 3 training images, fewer than one batch of 4"):
        train_loader(StepDataset(Coloured(6), selection, TRAIN), 4, 0)
    with pytest.raises(ValueError, match=r"memory\.mix half needs a batch of two images or more"):
        train_loader(StepDataset(Coloured(6), selection, TRAIN), 1, 0)
