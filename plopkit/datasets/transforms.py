"""Paired transforms: what is done to an image and its mask together. torchvision.transforms.v2, seeded."""

from typing import Any, NamedTuple

import plopkit.support.torchvision_ops  # noqa: F401  (before torchvision)

import torch  # isort: skip
from torch import Tensor  # isort: skip
from torchvision import tv_tensors  # isort: skip
from torchvision.transforms import InterpolationMode, v2  # isort: skip

from plopkit.datasets.source import Pair

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Sample(NamedTuple):
    """An image ready for the net, normalised float (3, H, W), and its target or mask (H, W)."""

    image: Tensor
    mask: Tensor


class RandomResizedCrop(v2.RandomResizedCrop):
    """Masks by "nearest-exact", as Pillow has it and as published: torchvision's "nearest" lies half a pixel beside the
    image."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        plain = inpt.as_subclass(Tensor)[None]
        cut = v2.functional.resized_crop_image(
            plain, **params, size=self.size, interpolation=InterpolationMode.NEAREST_EXACT
        )
        return tv_tensors.wrap(cut[0], like=inpt)


class Resize(v2.Resize):
    """Masks as in `RandomResizedCrop`."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        plain = inpt.as_subclass(Tensor)[None]
        resized = v2.functional.resize_image(plain, self.size, InterpolationMode.NEAREST_EXACT)
        return tv_tensors.wrap(resized[0], like=inpt)


class Transform:
    """A torchvision pipeline on a Pair. The same seed gives the same crop, in any process."""

    def __init__(self, *steps: v2.Transform):
        self.pipeline = v2.Compose([*steps, v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)])

    def __call__(self, pair: Pair, seed: int | None = None) -> Sample:
        image, mask = tv_tensors.Image(pair.image), tv_tensors.Mask(pair.mask)
        if seed is None:
            image, mask = self.pipeline(image, mask)
        else:  # torchvision draws from the CPU's global generator: lend it a seed, then give the old state back
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed the GPUs' as well, for good
                image, mask = self.pipeline(image, mask)
        return Sample(normalised(image.as_subclass(Tensor)), mask.as_subclass(Tensor))


def train_transform(size: int, scale: tuple[float, float] = (0.5, 2.0), flip: float = 0.5) -> Transform:
    """Random resized crop of ``size`` pixels, then a horizontal flip, as published.

    scale is the crop's share of the image's *area*, torchvision's meaning; draws above 1 mostly fail and are repeated.
    """
    return Transform(RandomResizedCrop(size, scale=scale, antialias=True), v2.RandomHorizontalFlip(flip))


def eval_transform(size: int | None) -> Transform:
    """The short side resized to ``size``, then the centre ``size`` x ``size``, as published; None: the whole image."""
    if size is None:
        return Transform()
    return Transform(Resize(size, antialias=True), v2.CenterCrop(size))


def normalised(image: Tensor) -> Tensor:
    """(3, H, W) in [0, 1] -> ImageNet mean 0 and deviation 1."""
    return (image - image.new_tensor(IMAGENET_MEAN)[:, None, None]) / image.new_tensor(IMAGENET_STD)[:, None, None]


def picture(image: Tensor) -> Tensor:
    """The inverse of ``normalised``, as 8-bit colours (3, H, W)."""
    std, mean = image.new_tensor(IMAGENET_STD)[:, None, None], image.new_tensor(IMAGENET_MEAN)[:, None, None]
    return ((image * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)
