"""Where in an image, and in which feature map, a net has drifted from its teacher: PLOP's distance in parts."""

from collections.abc import Mapping, Sequence
from math import isnan
from typing import NamedTuple

import pandas as pd
import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn import functional

from plopkit.lessons.snapshots import Snapshot
from plopkit.model.segmenter import Output
from plopkit.pod import SCALES, fitting_scales, fold_new_into_background, pod_regions
from plopkit.scenario import IGNORE, Step


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


PLACES = ("where new objects are", "where old objects are", "everywhere, even on empty background")
"""Where a net may have drifted most."""
CONTENTS = ("new objects", "old objects", "only background")
"""What a region of an image may show, in the order of `PLACES`."""


def drift_by_content(regions: Float[Tensor, "B s s"], masks: Integer[Tensor, "B H W"], step: Step) -> dict[str, float]:
    """The mean distance of the regions that show new objects, old objects and only background.

    A region with old and new objects counts as both. Where no region shows one of these, its mean is NaN.

    Args:
        regions: the distance of each region, as in `PodMaps`.
        masks: the true labels.
        step: the step that says which labels are old and which are new.
    """
    old, new = (torch.isin(masks, torch.tensor(labels, dtype=masks.dtype)) for labels in (step.old[1:], step.new))
    anything, has_old, has_new = (_shown_in(where, regions.shape[1]) for where in (masks != 0, old, new))
    shown = dict(zip(CONTENTS, (has_new, has_old, ~anything), strict=True))
    return {name: float(regions[where].mean()) for name, where in shown.items()}


def _shown_in(where: Bool[Tensor, "B H W"], scale: int) -> Bool[Tensor, "B s s"]:
    """The regions of a scale that have any of these pixels."""
    return functional.adaptive_max_pool2d(where.float()[:, None], scale)[:, 0] > 0


def most_drifted(by_content: Mapping[str, float]) -> str:
    """Which of `PLACES` is true: everywhere if the background has at least half of the largest distance.

    Args:
        by_content: result of `drift_by_content`.
    """
    *objects, background = (0.0 if isnan(by_content[name]) else by_content[name] for name in CONTENTS)
    return PLACES[2 if background >= max(objects) / 2 else objects.index(max(objects))]


def distance_courses(
    watched: Mapping[str, Sequence[Snapshot]], teacher: Output, n_old: int, scales: Sequence[int] = SCALES
) -> pd.DataFrame:
    """The distance from the teacher while a step is trained, the mean over the images.

    Args:
        watched: the snapshots of each method's net.
        teacher: the teacher's output for the same images.
        n_old: the number of the teacher's channels.
        scales: scales of local POD.

    Returns:
        A row per layer and method, a column per snapshot: the iterations done.
    """
    rows: dict[tuple[str, str], dict[int, float]] = {}
    for method, taken in watched.items():
        for snapshot in taken:
            for layer, distance in pod_maps(snapshot.output, teacher, n_old, scales).distances.items():
                rows.setdefault((layer, method), {})[snapshot.done] = float(distance.mean())
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["layer", "method"]).rename_axis(columns="done")
