"""8-bit colours, as images are stored and travel, and the normalised float32 that nets compute with."""

import functools

import torch
from jaxtyping import Float
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def net_input(image: Tensor) -> Tensor:
    """Scale 8-bit colours to [0, 1] and normalise them by ImageNet's mean and standard deviation, in float32.

    Every device computes the same bits: the divisor is a tensor, because CUDA multiplies by the reciprocal of a number.

    Args:
        image: (…, 3, H, W) uint8. Images of another type are returned unchanged: they are ready for the net.

    Returns:
        (…, 3, H, W) float32; a batch in channels last stays so, all others are contiguous.
    """
    if image.dtype != torch.uint8:
        return image
    mean, std = _statistics(image.device)
    if image.dim() == 4 and image.is_contiguous(memory_format=torch.channels_last):
        # By rows, because what is broadcast along three colours only is slow.
        rows = image.permute(0, 2, 3, 1).flatten(2).float()
        mean, std = mean.flatten().repeat(image.shape[3]), std.flatten().repeat(image.shape[3])
        colours = rows.mul_(1 / 255).sub_(mean).div_(std)
        return colours.unflatten(2, (image.shape[3], 3)).permute(0, 3, 1, 2)
    return image.contiguous().float().mul_(1 / 255).sub_(mean).div_(std)


def normalised(image: Float[Tensor, "*B 3 H W"]) -> Float[Tensor, "*B 3 H W"]:
    """Normalise an image in [0, 1] by ImageNet's mean and standard deviation."""
    mean, std = _statistics(image.device)
    return (image - mean) / std


def picture(image: Tensor) -> Tensor:
    """The inverse of `net_input` and `normalised`, as 8-bit colours (3, H, W)."""
    mean, std = _statistics(image.device)
    return ((image * std + mean).clamp(0, 1) * 255).round().to(torch.uint8)


@functools.cache
def _statistics(device: torch.device) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation, (3, 1, 1) each; kept on the device, because a GPU waits for what is copied to it."""
    mean, std = (torch.tensor(values, device=device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return mean, std
