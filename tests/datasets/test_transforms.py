"""Transforms that keep image and mask together: geometry, seeds, resizing as published."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coloured import Coloured
from PIL import Image
from torch import Tensor

from plopkit.datasets.source import Pair
from plopkit.datasets.steps import Selection, StepDataset, collate
from plopkit.datasets.transforms import (
    RandomResizedCrop,
    Transform,
    eval_transform,
    net_input,
    normalised,
    picture,
    to_device,
    train_transform,
)
from plopkit.datasets.voc import voc
from plopkit.scenario import IGNORE

from torchvision.transforms import InterpolationMode, v2  # isort: skip  (after plopkit, which makes it importable)

TRAIN = train_transform(32, (0.5, 1.0))


def colours_of(mask: Tensor) -> Tensor:
    return (mask.int() * 10 % 256).expand(3, -1, -1)


@pytest.mark.parametrize(
    "transform", [train_transform(72), train_transform(64, (0.1, 0.4), flip=1), eval_transform(80)]
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_image_and_mask_get_the_same_geometry(transform: Transform, seed: int) -> None:
    sample = transform(Coloured(3, 200, 160).read(seed), seed)
    assert sample.image.shape[1:] == sample.mask.shape
    # Colours mix where labels meet; elsewhere the colour of a pixel gives its label.
    same = (sample.image.int() - colours_of(sample.mask)).abs().amax(0) <= 2
    labels = sample.mask[None].float()
    inside = (F.max_pool2d(labels, 5, 1, 2) == labels) & (F.max_pool2d(-labels, 5, 1, 2) == -labels)
    assert same[inside[0]].float().mean() > 0.95
    assert inside.float().mean() > 0.5


def test_flips_go_both_ways() -> None:
    pair = Coloured(1).read(0)
    whole = train_transform(32, (1.0, 1.0), flip=0.5)
    flipped = [bool((whole(pair, seed).mask[0, -4:] == IGNORE).any()) for seed in range(40)]
    assert 8 < sum(flipped) < 32


@pytest.mark.parametrize(("low", "high"), [(0.05, 0.1), (0.5, 1.0), (1.0, 1.0)])
def test_scale_is_a_share_of_the_area(low: float, high: float) -> None:
    """The image encodes where each pixel comes from: red is its row, green its column."""
    rows, columns = torch.meshgrid(torch.arange(200), torch.arange(200), indexing="ij")
    pair = Pair(torch.stack([rows, columns, rows]).to(torch.uint8), torch.zeros(200, 200, dtype=torch.uint8))
    transform = train_transform(64, (low, high), flip=0)
    shares = []
    for seed in range(30):
        image = transform(pair, seed).image.double()
        shares.append(np.ptp(image[0].numpy()) * np.ptp(image[1].numpy()) / 200**2)
    assert low * 0.9 <= min(shares) <= max(shares) <= high * 1.02
    if low < high:
        assert np.ptp(shares) > (high - low) / 2


def test_a_crop_larger_than_the_image_falls_back_to_the_image() -> None:
    pair = Coloured(1).read(0)
    assert train_transform(32, (3.0, 4.0))(pair, 0).image.shape == (3, 32, 32)


def test_ignored_pixels_stay_ignored_and_no_label_is_invented() -> None:
    source = Coloured(4)
    for transform in (TRAIN, eval_transform(64)):
        masks = torch.stack([transform(source.read(i % 4), i).mask for i in range(12)])
        assert masks.dtype == torch.uint8
        assert (masks == IGNORE).any()
        assert set(masks.unique().tolist()) <= set(source.masks.unique().tolist())


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
    expected = np.asarray(large)[top : top + size, left : left + size]
    np.testing.assert_array_equal(eval_transform(size)(pair).mask, expected)

    whole = train_transform(size, (1.0, 1.0), flip=0)
    whole.pipeline.transforms[0].ratio = (width / height,) * 2  # so that the crop is the image
    expected = Image.fromarray(values).resize((size, size), Image.Resampling.NEAREST)
    np.testing.assert_array_equal(whole(pair, 0).mask, np.asarray(expected))


def test_evaluation_takes_the_centre_of_the_resized_image() -> None:
    mask = torch.zeros(60, 100, dtype=torch.uint8)
    mask[:, 20:80] = 1  # the centre square
    sample = eval_transform(30)(Pair(mask.expand(3, -1, -1).contiguous(), mask))
    assert sample.mask.shape == (30, 30)
    assert (sample.mask == 1).all()
    small = eval_transform(120)(Pair(mask.expand(3, -1, -1).contiguous(), mask))
    assert small.mask.shape == (120, 120)
    assert (small.mask == 1).all()


def published(pair: Pair, size: int, seed: int) -> tuple[Tensor, Tensor]:
    """A training crop step by step, by torchvision alone: colours become numbers before anything else is done."""
    torch.manual_seed(seed)
    box = v2.RandomResizedCrop(size, scale=(0.5, 2.0)).make_params([pair.image])
    crop = v2.functional.resized_crop(pair.image.contiguous(), **box, size=[size, size], antialias=True)
    mask = v2.functional.resized_crop(
        pair.mask[None], **box, size=[size, size], interpolation=InterpolationMode.NEAREST_EXACT
    )[0]
    if torch.rand(1) < 0.5:
        crop, mask = crop.flip(-1), mask.flip(-1)
    mean, std = (torch.tensor(values)[:, None, None] for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    return (v2.functional.to_dtype(crop, torch.float32, scale=True) - mean) / std, mask


@pytest.mark.parametrize(("height", "width", "size"), [(120, 160, 96), (75, 50, 128), (64, 64, 64), (31, 90, 33)])
def test_the_device_computes_the_numbers_of_the_published_order_to_the_last_bit(
    height: int, width: int, size: int
) -> None:
    rng = np.random.default_rng(0)
    transform, seeds = train_transform(size), range(12)
    image, mask = rng.integers(0, 256, (height, width, 3), np.uint8), rng.integers(0, 256, (height, width), np.uint8)
    pair = Pair(torch.from_numpy(image).permute(2, 0, 1), torch.from_numpy(mask))
    samples = collate([tuple(transform(pair, seed)) for seed in seeds])
    assert [part.dtype for part in samples] == [torch.uint8, torch.uint8]
    images, masks = to_device(*samples, torch.device("cpu"))
    assert images.is_contiguous(memory_format=torch.channels_last) and masks.dtype == torch.int64
    for seed, ready, labels in zip(seeds, images, masks, strict=True):
        expected, expected_mask = published(pair, size, seed)
        assert torch.equal(ready, expected)
        assert torch.equal(labels, expected_mask.long())


def test_photographs_get_the_numbers_of_the_published_order(shared: Path) -> None:
    source = voc(shared / "data" / "voc_mini", "train")
    dataset = StepDataset(source, Selection.of(np.arange(0, 1500, 300), np.arange(256)), train_transform(256))
    images, targets = to_device(*collate([dataset[index, index] for index in range(5)]), torch.device("cpu"))
    for index, (image, target) in enumerate(zip(images, targets, strict=True)):
        expected, mask = published(source.read(300 * index), 256, index)
        assert torch.equal(image, expected) and torch.equal(target, mask.long())


@pytest.mark.parametrize("n_out", [1, 2, 31, 96, 512, 513])
def test_a_crop_of_a_mask_takes_the_pixels_that_torch_takes(n_out: int) -> None:
    for n_in in (1, 2, 3, 17, 96, 333, 375, 500, 2048):
        row = (torch.arange(n_in) % 251).to(torch.uint8)
        expected = F.interpolate(row[None, None, None], size=(1, n_out), mode="nearest-exact").flatten()
        pair = Pair(row.expand(3, 7, -1), row.expand(7, -1))
        crop = RandomResizedCrop((1, n_out))
        crop.make_params = lambda _, n_in=n_in: {"top": 0, "left": 0, "height": 7, "width": n_in}
        assert torch.equal(Transform(crop)(pair).mask.flatten(), expected)


def test_images_that_are_ready_are_only_moved() -> None:
    image, target = torch.rand(2, 3, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64)
    moved = to_device(image, target, torch.device("cpu"))
    assert moved[0] is image and moved[1] is target


@pytest.mark.parametrize("shape", [(2, 3, 5, 7), (1, 3, 4, 4), (2, 3, 1, 1), (3, 3, 16, 16)])
def test_colours_are_the_same_in_any_layout(shape: tuple[int, ...]) -> None:
    image = torch.randint(256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    channels_last = image.contiguous(memory_format=torch.channels_last)
    ready = net_input(channels_last)
    assert torch.equal(ready, net_input(image)) and torch.equal(ready, torch.stack([*map(net_input, image)]))
    assert ready.shape == shape and ready.is_contiguous(memory_format=torch.channels_last)
    assert net_input(image).is_contiguous()
    assert torch.equal(net_input(channels_last[:, :, ::2]), net_input(image[:, :, ::2]))


def test_colours_are_normalised_as_for_imagenet() -> None:
    image = torch.full((3, 4, 4), 128, dtype=torch.uint8)
    sample = eval_transform(4)(Pair(image, image[0]))
    expected = [
        (128 / 255 - mean) / std for mean, std in zip((0.485, 0.456, 0.406), (0.229, 0.224, 0.225), strict=True)
    ]
    ready = net_input(sample.image)
    assert ready.dtype == torch.float32
    torch.testing.assert_close(ready[:, 0, 0], torch.tensor(expected))
    every = torch.arange(256, dtype=torch.uint8).view(1, 16, 16).expand(3, -1, -1)
    torch.testing.assert_close(net_input(every), normalised(every / 255))
    assert torch.equal(picture(net_input(every)), every)
    assert torch.equal(
        picture(normalised(torch.tensor([2.0, -1.0, 0.0])[:, None, None])).flatten(), torch.tensor([255, 0, 0])
    )
