"""Transforms applied to an image and its mask together: `torchvision.transforms.v2` with seeds."""

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
    """An image ready for the net, normalised float32 (3, H, W), and its mask, uint8 (H, W)."""

    image: Tensor
    mask: Tensor


class RandomResizedCrop(v2.RandomResizedCrop):
    """`v2.RandomResizedCrop` that resizes masks by "nearest-exact", as Pillow does and as published.

    Torchvision's "nearest" would shift the mask against the image by half a pixel.
    """

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        mask = inpt.as_subclass(Tensor)[None]
        cropped = v2.functional.resized_crop_image(
            mask, **params, size=self.size, interpolation=InterpolationMode.NEAREST_EXACT
        )
        return tv_tensors.wrap(cropped[0], like=inpt)


class Resize(v2.Resize):
    """`v2.Resize` that resizes masks as `RandomResizedCrop` does."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, tv_tensors.Mask):
            return super().transform(inpt, params)
        mask = inpt.as_subclass(Tensor)[None]
        resized = v2.functional.resize_image(mask, self.size, InterpolationMode.NEAREST_EXACT)
        return tv_tensors.wrap(resized[0], like=inpt)


class Transform:
    """A torchvision pipeline for pairs of image and mask. The same seed gives the same crop in any process.

    Args:
        steps: The transforms, applied in this order; conversion to float and normalisation follow.
    """

    def __init__(self, *steps: v2.Transform):
        self.pipeline = v2.Compose([*steps, v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True)])

    def __call__(self, pair: Pair, seed: int | None = None) -> Sample:
        image, mask = tv_tensors.Image(pair.image), tv_tensors.Mask(pair.mask)
        if seed is None:
            image, mask = self.pipeline(image, mask)
        else:  # torchvision draws from the CPU's global generator: seed it, then restore its state
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed the GPUs, permanently
                image, mask = self.pipeline(image, mask)
        return Sample(normalised(image.as_subclass(Tensor)), mask.as_subclass(Tensor))


def train_transform(size: int, scale: tuple[float, float] = (0.5, 2.0), flip: float = 0.5) -> Transform:
    """A random resized crop, then a random horizontal flip, as published.

    Args:
        size: Side of the crop in pixels.
        scale: Smallest and largest area of the crop as a share of the image's area, as in torchvision; draws above 1
            mostly fail and are repeated.
        flip: Probability of the flip.
    """
    return Transform(RandomResizedCrop(size, scale=scale, antialias=True), v2.RandomHorizontalFlip(flip))


def eval_transform(size: int | None) -> Transform:
    """The short side resized to `size` pixels, then the central square, as published; None keeps the whole image."""
    if size is None:
        return Transform()
    return Transform(Resize(size, antialias=True), v2.CenterCrop(size))


def normalised(image: Tensor) -> Tensor:
    """Normalise an image (3, H, W) in [0, 1] by ImageNet's mean and standard deviation."""
    return (image - image.new_tensor(IMAGENET_MEAN)[:, None, None]) / image.new_tensor(IMAGENET_STD)[:, None, None]


def picture(image: Tensor) -> Tensor:
    """The inverse of `normalised`, as 8-bit colours (3, H, W)."""
    std, mean = image.new_tensor(IMAGENET_STD)[:, None, None], image.new_tensor(IMAGENET_MEAN)[:, None, None]
    return ((image * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)
