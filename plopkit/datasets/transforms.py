"""Transforms applied to an image and its mask together: `torchvision.transforms.v2` with seeds.

Images stay 8-bit colours until `to_device` has moved them to where the net is: a quarter of the bytes.
"""

from typing import Any, NamedTuple

import numpy as np

import plopkit.support.torchvision_ops  # noqa: F401  (before torchvision)

import torch  # isort: skip
from jaxtyping import UInt8, UInt16  # isort: skip
from torch import Tensor  # isort: skip
from torchvision import tv_tensors  # isort: skip
from torchvision.transforms import InterpolationMode, v2  # isort: skip

from plopkit.datasets.source import Pair
from plopkit.support.colours import IMAGENET_MEAN, IMAGENET_STD, net_input, normalised, picture

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "RandomResizedCrop",
    "Resize",
    "Sample",
    "Transform",
    "eval_transform",
    "net_input",
    "normalised",
    "picture",
    "short_side_resized",
    "to_device",
    "train_transform",
]


class Sample(NamedTuple):
    """An image and its mask of labels, of the size that the net sees."""

    image: UInt8[Tensor, "3 H W"]
    """8-bit colours; `net_input` makes them ready for the net"""
    mask: UInt8[Tensor, "H W"] | UInt16[Tensor, "H W"]
    """labels, 255 where ignored; of 16 bits, 65535 where ignored, beyond 255 labels"""


class RandomResizedCrop(v2.RandomResizedCrop):
    """`v2.RandomResizedCrop` that resizes masks by "nearest-exact", as Pillow does and as published.

    Torchvision's "nearest" would shift the mask against the image by half a pixel. The image's crop is copied before it
    is resized: torch's 8-bit kernel is twice as fast where the colours of each pixel are next to each other and nothing
    is between the rows.

    Its inputs are an image and a mask: looking through nested ones takes torchvision longer than resizing.
    """

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self._log_ratio: Any = torch.log(torch.tensor(self.ratio)).tolist()  # each draw would read them from a tensor

    def forward(self, image: tv_tensors.Image, mask: tv_tensors.Mask) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        params = self.make_params([image])
        return self.transform(image, params), self.transform(mask, params)

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if isinstance(inpt, tv_tensors.Mask):
            return tv_tensors.wrap(_nearest(inpt.as_subclass(Tensor), **params, size=tuple(self.size)), like=inpt)
        crop = v2.functional.crop_image(inpt.as_subclass(Tensor), **params)
        crop = crop[None].contiguous(memory_format=torch.channels_last)[0]
        resized = v2.functional.resize_image(crop, self.size, self.interpolation, antialias=self.antialias)
        return tv_tensors.wrap(resized, like=inpt)


class RandomHorizontalFlip(v2.RandomHorizontalFlip):
    """`v2.RandomHorizontalFlip` of an image and a mask, without looking for them in nested inputs."""

    def forward(self, image: tv_tensors.Image, mask: tv_tensors.Mask) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        if torch.rand(1) >= self.p:
            return image, mask
        return tuple(tv_tensors.wrap(part.as_subclass(Tensor).flip(-1), like=part) for part in (image, mask))


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
        steps: The transforms, applied in this order.
    """

    def __init__(self, *steps: v2.Transform):
        self.pipeline = v2.Compose([*steps] or [v2.Identity()])

    def __call__(self, pair: Pair, seed: int | None = None) -> Sample:
        labels = pair.mask.view(torch.int16) if pair.mask.dtype == torch.uint16 else pair.mask  # torch flips no uint16
        image, mask = tv_tensors.Image(pair.image), tv_tensors.Mask(labels)
        if seed is None:
            image, mask = self.pipeline(image, mask)
        else:  # torchvision draws from the CPU's global generator: seed it, then restore its state
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)  # torch.manual_seed would also reseed the GPUs, permanently
                image, mask = self.pipeline(image, mask)
        return Sample(image.as_subclass(Tensor), mask.as_subclass(Tensor).view(pair.mask.dtype))


def train_transform(size: int, scale: tuple[float, float] = (0.5, 2.0), flip: float = 0.5) -> Transform:
    """A random resized crop, then a random horizontal flip, as published.

    Args:
        size: Side of the crop in pixels.
        scale: Smallest and largest area of the crop as a share of the image's area, as in torchvision; draws above 1
            mostly fail and are repeated.
        flip: Probability of the flip.
    """
    return Transform(RandomResizedCrop(size, scale=scale, antialias=True), RandomHorizontalFlip(flip))


def eval_transform(size: int | None) -> Transform:
    """The short side resized to `size` pixels, then the central square, as published; None keeps the whole image."""
    if size is None:
        return Transform()
    return Transform(Resize(size, antialias=True), v2.CenterCrop(size))


def short_side_resized(image: UInt8[Tensor, "3 H W"], size: int) -> UInt8[Tensor, "3 h w"]:
    """An image as `eval_transform` resizes it, without the central square."""
    return v2.functional.resize_image(image, [size], antialias=True)


def to_device(image: Tensor, target: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Move a loader's batch to the device and make it ready for net and losses there.

    Args:
        image: (B, 3, H, W) 8-bit colours, or images that are ready for the net, which are only moved.
        target: (B, H, W) integers of any type.
        device: Where net and losses compute.

    Returns:
        The images as `net_input` makes them, normalised float32, and the targets as int64.
    """
    image, target = image.to(device, non_blocking=True), target.to(device, non_blocking=True)
    return net_input(image), target if target.is_floating_point() else target.long()


def _nearest(mask: Tensor, top: int, left: int, height: int, width: int, size: tuple[int, int]) -> Tensor:
    """Crop a mask (H, W) and resize it to `size`, each pixel from the nearest one ("nearest-exact")."""
    rows, columns = _nearest_positions(height, size[0]), _nearest_positions(width, size[1])
    cropped = mask.numpy()[top : top + height, left : left + width]
    return torch.from_numpy(cropped.take(columns, axis=1).take(rows, axis=0))


def _nearest_positions(n_in: int, n_out: int) -> np.ndarray:
    """(n_out,) int: the pixel whose centre is nearest to each pixel's, in torch's float32 arithmetic."""
    scale = np.float32(n_in) / np.float32(n_out)
    positions = ((np.arange(n_out, dtype=np.float32) + np.float32(0.5)) * scale).astype(np.intp)
    return np.minimum(positions, n_in - 1)
