"""What a step trains on: transforms that keep image and mask together, targets, and the order of the images."""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor
from torch.utils.data import SequentialSampler

from plopkit.datasets.scenario_data import StepData
from plopkit.datasets.source import Pair, Source
from plopkit.datasets.steps import EpochSampler, Selection, StepDataset, eval_loader, train_loader
from plopkit.datasets.transforms import Transform, eval_transform, normalised, picture, train_transform
from plopkit.scenario import Scenario
from plopkit.settings import Data, Optim, Settings

TRAIN = train_transform(32, (0.5, 1.0))


class Coloured(Source):
    """Images whose grey is their mask's label: wherever a pixel goes, its label can be read from it."""

    def __init__(self, count: int, height: int = 50, width: int = 40):
        rng = np.random.default_rng(0)
        coarse = rng.integers(0, 21, (count, 5, 4))
        coarse[:, 0, 0] = 255
        self.masks = torch.from_numpy(coarse.astype(np.uint8).repeat(height // 5, 1).repeat(width // 4, 2))
        self.classes = tuple(f"class {label}" for label in range(21))
        self.stems = tuple(f"image {index}" for index in range(count))
        self.fingerprint = f"coloured-{count}-{height}-{width}"

    def read(self, index: int) -> Pair:
        mask = self.masks[index]
        return Pair((mask.int() * 10 % 256).to(torch.uint8).expand(3, -1, -1).contiguous(), mask)

    def labels(self, index: int) -> frozenset[int]:
        return frozenset(self.masks[index].unique().tolist())


def colours_of(mask: Tensor) -> Tensor:
    return (mask.int() * 10 % 256).expand(3, -1, -1)


# Transforms


@pytest.mark.parametrize(
    "transform", [train_transform(72), train_transform(64, (0.1, 0.4), flip=1), eval_transform(80)]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_image_and_mask_get_the_same_geometry(transform: Transform, seed: int) -> None:
    sample = transform(Coloured(3, 200, 160).read(seed), seed)
    assert sample.image.shape[1:] == sample.mask.shape
    # Colours mix where labels meet; elsewhere a pixel's colour tells its label.
    same = (picture(sample.image).int() - colours_of(sample.mask)).abs().amax(0) <= 2
    labels = sample.mask[None].float()
    inside = (F.max_pool2d(labels, 5, 1, 2) == labels) & (F.max_pool2d(-labels, 5, 1, 2) == -labels)
    assert same[inside[0]].float().mean() > 0.95
    assert inside.float().mean() > 0.5


def test_flips_go_both_ways() -> None:
    pair = Coloured(1).read(0)
    whole = train_transform(32, (1.0, 1.0), flip=0.5)
    flipped = [bool((whole(pair, seed).mask[0, -4:] == 255).any()) for seed in range(40)]
    assert 8 < sum(flipped) < 32


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.1), (0.5, 1.0), (1.0, 1.0)])
def test_scale_is_the_share_of_the_area(low: float, high: float) -> None:
    """An image that says where each pixel comes from: its red is the row, its green the column."""
    rows, columns = torch.meshgrid(torch.arange(200), torch.arange(200), indexing="ij")
    pair = Pair(torch.stack([rows, columns, rows]).to(torch.uint8), torch.zeros(200, 200, dtype=torch.uint8))
    transform = train_transform(64, (low, high), flip=0)
    shares = []
    for seed in range(30):
        image = picture(transform(pair, seed).image).double()
        shares.append(np.ptp(image[0].numpy()) * np.ptp(image[1].numpy()) / 200**2)
    assert low * 0.9 <= min(shares) <= max(shares) <= high * 1.02
    if low < high:
        assert np.ptp(shares) > (high - low) / 2


def test_crops_above_the_image_fall_back_to_it() -> None:
    pair = Coloured(1).read(0)
    assert train_transform(32, (3.0, 4.0))(pair, 0).image.shape == (3, 32, 32)


def test_void_stays_void_and_no_label_is_made_up() -> None:
    source = Coloured(4)
    for transform in (TRAIN, eval_transform(64)):
        found = torch.stack([transform(source.read(i % 4), i).mask for i in range(12)])
        assert found.dtype == torch.uint8
        assert (found == 255).any()
        assert set(found.unique().tolist()) <= set(source.masks.unique().tolist())


def test_the_same_seed_gives_the_same_crop_whatever_was_drawn_before() -> None:
    pair = Coloured(1).read(0)
    first = TRAIN(pair, 2**61 + 1)
    torch.rand(5)
    random.random()
    again = TRAIN(pair, 2**61 + 1)
    assert torch.equal(first.image, again.image) and torch.equal(first.mask, again.mask)
    other = TRAIN(pair, 2**61 + 2)
    assert not torch.equal(first.image, other.image)


def test_a_seeded_crop_leaves_the_global_generators_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    states = torch.get_rng_state(), random.getstate()
    monkeypatch.setattr(torch.cuda, "manual_seed_all", lambda seed: pytest.fail("the GPUs' generators were seeded"))
    TRAIN(Coloured(1).read(0), 3)
    assert torch.equal(states[0], torch.get_rng_state())
    assert states[1] == random.getstate()


@pytest.mark.parametrize(("height", "width", "size"), [(40, 40, 16), (33, 47, 64), (15, 15, 40)])
def test_masks_are_resized_as_pillow_does(height: int, width: int, size: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    pair = Pair(torch.zeros(3, height, width, dtype=torch.uint8), torch.from_numpy(values))
    short = min(height, width)
    large = Image.fromarray(values).resize((width * size // short, height * size // short), Image.Resampling.NEAREST)
    top, left = round((large.height - size) / 2), round((large.width - size) / 2)
    theirs = np.asarray(large)[top : top + size, left : left + size]
    np.testing.assert_array_equal(eval_transform(size)(pair).mask, theirs)

    whole = train_transform(size, (1.0, 1.0), flip=0)
    whole.pipeline.transforms[0].ratio = (width / height,) * 2  # so that the crop is the image
    theirs = Image.fromarray(values).resize((size, size), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(whole(pair, 0).mask, np.asarray(theirs))


def test_evaluation_takes_the_centre_of_the_resized_image() -> None:
    mask = torch.zeros(60, 100, dtype=torch.uint8)
    mask[:, 20:80] = 1  # the centre square
    sample = eval_transform(30)(Pair(mask.expand(3, -1, -1).contiguous(), mask))
    assert sample.mask.shape == (30, 30)
    assert (sample.mask == 1).all()
    small = eval_transform(120)(Pair(mask.expand(3, -1, -1).contiguous(), mask))
    assert small.mask.shape == (120, 120)
    assert (small.mask == 1).all()


def test_colours_are_normalised_as_imagenet() -> None:
    image = torch.full((3, 4, 4), 128, dtype=torch.uint8)
    sample = eval_transform(4)(Pair(image, image[0]))
    expected = [
        (128 / 255 - mean) / std for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    ]
    assert sample.image.dtype == torch.float32
    torch.testing.assert_close(sample.image[:, 0, 0], torch.tensor(expected))
    every = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, -1, -1)
    assert torch.equal(picture(normalised(every / 255)), every)
    assert torch.equal(
        picture(normalised(torch.tensor([2.0, -1.0, 0.0])[:, None, None])).flatten(), torch.tensor([255, 0, 0])
    )


# Targets and order


@pytest.mark.parametrize("labelled", ["new", "seen"])
@pytest.mark.parametrize("text", ["voc 15-5 overlap", "voc 15-1 disjoint order=b", "voc 10-5 sequential"])
def test_targets_equal_a_loop(text: str, labelled: str) -> None:
    step = Scenario.parse(text).steps[1]
    source = Coloured(3)
    chosen = StepDataset(source, Selection.of([2, 0], step.lookup(labelled)), eval_transform(20))
    shown = step.new if labelled == "new" else step.seen
    assert len(chosen) == 2
    for position, index in enumerate((2, 0)):
        _, target = chosen[position]
        labels = eval_transform(20)(source.read(index)).mask
        for label, channel in zip(labels.flatten().tolist(), target.flatten().tolist(), strict=True):
            if label == 255:
                assert channel == 255
            else:
                assert channel == (step.seen.index(label) if label in shown else 0)


def test_a_sample_depends_on_its_seed_alone() -> None:
    chosen = StepDataset(
        Coloured(4), Selection.of(np.arange(4), Scenario.parse("voc joint").steps[0].lookup("seen")), TRAIN
    )
    image, target = chosen[3, 11]
    assert image.dtype == torch.float32 and target.dtype == torch.int64
    chosen[0, 5], torch.rand(3)
    assert torch.equal(chosen[3, 11][0], image)
    assert not torch.equal(chosen[3, 12][0], image)


def test_sampler_permutes_anew_each_epoch() -> None:
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


def test_sampler_is_decided_by_seed_and_epoch() -> None:
    def drawn(seed: int, epoch: int) -> list[tuple[int, int]]:
        sampler = EpochSampler(20, seed)
        sampler.epoch = epoch
        return list(sampler)

    assert drawn(1, 5) == drawn(1, 5)
    found = [drawn(seed, epoch) for seed in (0, 1, 2) for epoch in (0, 1, 2)]
    assert all(a != b for i, a in enumerate(found) for b in found[:i])


@pytest.mark.parametrize("processes", [1, 2, 3, 5, 7])
def test_processes_share_every_batch(processes: int) -> None:
    whole = list(EpochSampler(24, 3, batch=7))
    assert len(whole) == 21  # the last, incomplete batch is left out
    assert whole == list(EpochSampler(24, 3))[:21]
    parts = [EpochSampler(24, 3, 7, (number, processes)) for number in range(processes)]
    assert sum(part.per_batch for part in parts) == 7
    assert max(part.per_batch for part in parts) - min(part.per_batch for part in parts) <= 1
    drawn = [list(part) for part in parts]
    assert [len(one) for one in drawn] == [len(part) for part in parts]
    for index in range(3):
        shares = [one[index * part.per_batch :][: part.per_batch] for part, one in zip(parts, drawn, strict=True)]
        assert sorted(pair for share in shares for pair in share) == sorted(whole[7 * index : 7 * index + 7])


def batches_of(workers: int, epoch: int) -> list[tuple[Tensor, Tensor]]:
    chosen = StepDataset(
        Coloured(10), Selection.of(np.arange(9), Scenario.parse("voc joint").steps[0].lookup("seen")), TRAIN
    )
    loader = train_loader(chosen, batch=2, seed=7, workers=workers)
    loader.sampler.epoch = epoch
    return list(loader)


def test_workers_change_nothing() -> None:
    alone, helped = batches_of(0, 1), batches_of(2, 1)
    assert len(alone) == len(helped) == 4  # the last, incomplete batch is dropped
    for a, b in zip(alone, helped, strict=True):
        assert a[0].shape == (2, 3, 32, 32)
        assert torch.equal(a[0], b[0]) and torch.equal(a[1], b[1])
    assert not torch.equal(alone[0][0], batches_of(0, 2)[0][0])


def test_evaluation_takes_every_image_once_in_order() -> None:
    source = Coloured(5)
    chosen = StepDataset(source, Selection.of(np.array([4, 1, 2]), np.arange(256, dtype=np.uint8)), eval_transform(40))
    loader = eval_loader(chosen, batch=2)
    assert isinstance(loader.sampler, SequentialSampler)
    targets = torch.cat([target for _, target in loader])
    expected = [eval_transform(40)(source.read(index)).mask.long() for index in (4, 1, 2)]
    assert torch.equal(targets, torch.stack(expected))


def test_too_few_images_are_told() -> None:
    chosen = StepDataset(Coloured(3), Selection.of(np.arange(3), np.arange(256, dtype=np.uint8)), TRAIN)
    assert len(train_loader(chosen, batch=3, seed=0)) == 1
    with pytest.raises(ValueError, match=r"has 3 training images, fewer than one batch of 4; lower optim.batch"):
        train_loader(chosen, batch=4, seed=0)


# A scenario's images under its settings


def opened(root: Path, text: str = "folder 2-1 overlap", batch: int = 2) -> StepData:
    return StepData.open(Settings(scenario=text, data=Data(root=root, size=32), optim=Optim(batch=batch)))


def test_each_step_trains_on_the_images_that_its_protocol_uses(folder_root: Callable[..., Path]) -> None:
    data = opened(folder_root(train=9, classes=4))  # the labels of image i: 1 + i % 3 and 1 + (i + 1) % 3
    first, second = data.scenario.steps
    assert data.train_loader(first).dataset.indices.tolist() == list(range(9))
    assert data.train_loader(second).dataset.indices.tolist() == [1, 2, 4, 5, 7, 8]
    everything = Selection.all_seen(second, data.presence[0])
    assert data.train_loader(second, everything).dataset.indices.tolist() == list(range(9))
    targets = {label for _, target in data.train_loader(second) for label in target.unique().tolist()}
    assert targets == {0, 3, 255}
    targets = {label for _, target in data.train_loader(second, everything) for label in target.unique().tolist()}
    assert targets == {0, 1, 2, 3, 255}
    disjoint = opened(folder_root(train=9, classes=4), "folder 2-1 disjoint")
    assert disjoint.train_loader(disjoint.scenario.steps[0]).dataset.indices.tolist() == [0, 3, 6]


def test_evaluation_sees_labels_so_far_and_the_rest_as_background(folder_root: Callable[..., Path]) -> None:
    data = opened(folder_root(val=6, classes=5), "folder 2-2 overlap order=4,3,2,1")
    first, second = data.scenario.steps
    found = [{label for _, t in data.eval_loader(s) for label in t.unique().tolist()} for s in (first, second)]
    assert found == [{0, 1, 2, 255}, {0, 1, 2, 3, 4, 255}]
    assert data.eval_loader(first).dataset.indices.tolist() == [1, 2, 3, 5]  # those with label 3 or 4
    assert data.eval_loader(second).dataset.indices.tolist() == list(range(6))


def test_a_step_with_too_few_images_is_named_before_anything_is_trained(folder_root: Callable[..., Path]) -> None:
    message = r"folder 2-1 disjoint, step 0: this step has 3 training images, fewer than one batch of 4"
    with pytest.raises(ValueError, match=message):
        opened(folder_root(train=9), "folder 2-1 disjoint", batch=4)


@pytest.mark.parametrize(("index", "split"), [(0, "train"), (1, "train"), (2, "val")])
def test_a_look_at_a_step(folder_root, index, split):
    data = opened(folder_root(train=12, val=8, classes=5))
    step = data.scenario.steps[index]
    batch = data.look(step, 3, split)
    table = step.lookup("new")
    assert 1 <= len(batch.images) == len(batch.pictures) == len(batch.masks) <= 3
    for image, target, mask, shown in zip(batch.images, batch.target, batch.masks, batch.pictures, strict=True):
        present = set(mask.unique().tolist())
        assert present & set(step.new) - {0} and (index == 0 or present & set(step.old) - {0})
        assert shown.dtype == torch.uint8 and torch.equal(shown, picture(image))
        expected = [[int(table[label]) for label in row] for row in mask.tolist()]
        assert target.tolist() == expected


def test_a_look_refuses_other_splits(folder_root):
    data = opened(folder_root())
    with pytest.raises(ValueError, match="'train' or 'val', not 'test'"):
        data.look(data.scenario.steps[0], 2, "test")
