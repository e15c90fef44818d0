"""Where in an image, and in which feature map, a net has drifted from its teacher: PLOP's distance in parts."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn import functional

from plopkit.model.segmenter import Output
from plopkit.pod import SCALES, fitting_scales, fold_new_into_background, pod_regions
from plopkit.scenario import IGNORE


def pod_layers(output: Output, n_old: int) -> dict[str, Tensor]:
    """The feature maps that PLOP compares, by name, finest first: the encoder's stages, the decoder's head, the logits.

    In the logits, the new channels are folded into the background, so that those of a net fit its teacher's.
    """
    assert output.head is not None
    stages = {f"stage {number}": stage for number, stage in enumerate(output.stages, 1)}
    return stages | {"head": output.head, "logits": fold_new_into_background(output.small, n_old)}


class PodMaps(NamedTuple):
    """The distance of a net from its teacher on B images."""

    regions: dict[tuple[str, int], Float[Tensor, "B s s"]]
    """By layer and scale: the distance of each region."""
    distances: dict[str, Float[Tensor, " B"]]
    """By layer: `plopkit.pod.pod_distance` of each image, the root of the sum of the regions' squared distances."""


def pod_maps(net: Output, teacher: Output, n_old: int, scales: Sequence[int] = SCALES) -> PodMaps:
    """Compare a net with its teacher, on all layers and at all scales that fit them.

    Args:
        net: the net's output.
        teacher: the teacher's output for the same images.
        n_old: the number of the teacher's channels.
        scales: scales of local POD.
    """
    new, old = pod_layers(net, n_old), pod_layers(teacher, n_old)
    fitting = {name: fitting_scales(scales, layer.shape[3]) for name, layer in new.items()}
    regions = {(name, scale): pod_regions(new[name], old[name], scale) for name in new for scale in fitting[name]}
    distances = {
        name: torch.stack([regions[name, scale].square().sum((1, 2)) for scale in fitting[name]]).sum(0).sqrt()
        for name in new
    }
    return PodMaps(regions, distances)


def clearest_channel(features: Float[Tensor, "B C h w"], masks: Integer[Tensor, "B H W"]) -> tuple[int, int]:
    """The image and the channel whose squared values show best where the objects are.

    Args:
        features: a feature map.
        masks: the true labels; all but background and ignored pixels are objects.

    Returns:
        The pair with the highest correlation between the squared map and the objects' share of each of its pixels.
    """
    objects = ((masks != 0) & (masks != IGNORE)).float()
    height, width = features.shape[2:]
    share = functional.adaptive_avg_pool2d(objects[:, None], (height, width)).flatten(2)
    squared = features.square().flatten(2)
    share, squared = (x - x.mean(2, keepdim=True) for x in (share, squared))
    norms = squared.norm(dim=2) * share.norm(dim=2)
    correlation = (squared * share).sum(2) / norms.clamp(min=1e-12)
    image, channel = divmod(int(correlation.argmax()), features.shape[1])
    return image, channel
