"""Loading as published: Pillow for everything, and a Python call for every pixel of a mask."""

import math
import random
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

Remap = Callable[[Tensor], Tensor]


def remap(new: Sequence[int], channel_of: dict[int, int]) -> Remap:
    """From a mask (H, W) of labels to a target: the new labels' channels, 255 stays, all else is background."""
    shown = [0, *new, 255]
    table = channel_of | {0: 0, 255: 255}

    def convert(mask: Tensor) -> Tensor:
        return mask.clone().apply_(lambda label: table[label] if label in shown else 0)

    return convert


class PlainDataset(Dataset):
    """Images and masks by their files, with a random crop, a random flip and normalisation.

    An item is (image, target): float32 (3, size, size) and int64 (size, size).
    """

    def __init__(
        self,
        images: Sequence[Path],
        masks: Sequence[Path],
        convert: Remap,
        size: int = 512,
        scale: tuple[float, float] = (0.5, 2.0),
        flip: float = 0.5,
    ):
        self.images, self.masks, self.convert = images, masks, convert
        self.size, self.scale, self.flip = size, scale, flip

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = Image.open(self.images[index]).convert("RGB")
        mask = Image.open(self.masks[index])
        box = crop_box(image.size, self.scale)
        image = image.crop(box).resize((self.size, self.size), Image.Resampling.BILINEAR)
        mask = mask.crop(box).resize((self.size, self.size), Image.Resampling.NEAREST)
        if random.random() < self.flip:
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            mask = mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        tensor = torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous().float().div(255)
        tensor = tensor.sub(torch.tensor(MEAN)[:, None, None]).div(torch.tensor(STD)[:, None, None])
        return tensor, self.convert(torch.from_numpy(np.array(mask))).long()


def crop_box(size: tuple[int, int], scale: tuple[float, float]) -> tuple[int, int, int, int]:
    """A crop (left, top, right, bottom) of random area and shape; the centre where ten draws do not fit."""
    width, height = size
    for _ in range(10):
        area = width * height * random.uniform(*scale)
        shape = math.exp(random.uniform(math.log(3 / 4), math.log(4 / 3)))
        w, h = round(math.sqrt(area * shape)), round(math.sqrt(area / shape))
        if 0 < w <= width and 0 < h <= height:
            left, top = random.randint(0, width - w), random.randint(0, height - h)
            return left, top, left + w, top + h
    shape = min(max(width / height, 3 / 4), 4 / 3)
    w, h = min(width, round(height * shape)), min(height, round(width / shape))
    left, top = (width - w) // 2, (height - h) // 2
    return left, top, left + w, top + h


def labels_of(image: Path, mask: Path) -> frozenset[int]:
    """The labels in a mask, found as published: by reading the pair and sorting the mask's pixels."""
    np.array(Image.open(image).convert("RGB"))
    return frozenset(np.unique(np.array(Image.open(mask))).tolist())
