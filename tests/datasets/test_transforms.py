"""Transforms that keep image and mask together: geometry, seeds, resizing as published."""

import random

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from coloured import Coloured
from PIL import Image
from torch import Tensor

from plopkit.datasets.source import Pair
from plopkit.datasets.transforms import Transform, eval_transform, normalised, picture, train_transform
from plopkit.scenario import IGNORE

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
    same = (picture(sample.image).int() - colours_of(sample.mask)).abs().amax(0) <= 2
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
        image = picture(transform(pair, seed).image).double()
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


def test_colours_are_normalised_as_for_imagenet() -> None:
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
