"""Encoders without a choice of output stride: vision transformers, and hierarchical ones such as Swin and PVT."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

import plopkit.support.torchvision_ops  # noqa: F401  (before timm, which imports torchvision)

import timm  # isort: skip
from timm.layers import PatchEmbed  # isort: skip

from plopkit.model.pretrained import checked_state, renamed_by_timm
from plopkit.support.printable import one_line

ANY_SIZE: tuple[dict[str, Any], ...] = ({"strict_img_size": False}, {"dynamic_img_size": True}, {})
"""Options with which a network takes images of any size, by family; the first that has an effect is taken."""


class Transformer(nn.Module):
    """Four maps of a timm network, (B, C, h, w) each, finest first, whatever layout it computes in.

    A plain one, whose blocks all have maps of one size, gives those after a quarter, half, three quarters and all of
    its blocks, each after the final norm, as DINOv2 does for dense prediction. A hierarchical one gives its last four
    stages as they are. An image whose sides are no multiples of the patches, or of the last stride, is resized to the
    next multiples, so that the maps cover it exactly.

    Args:
        name: timm's name of the network.
        weights: "none", "imagenet" for those of the model hub, or a file.
        stages: number of stages to keep of a hierarchical network; None keeps all.

    Raises:
        ValueError: where the network has fewer than four maps, or the stages do not exist.
    """

    def __init__(self, name: str, weights: str = "none", stages: int | None = None):
        super().__init__()
        self.body: Any = built(partial(_whole_net, name, weights == "imagenet"))
        self.name = name
        if weights not in ("none", "imagenet"):
            state = renamed_by_timm(checked_state(name, weights, self.body), self.body)
            self.body.load_state_dict(dict(state), strict=False)  # a classifier is left over; all else was checked
        infos: Sequence[dict[str, Any]] = list(self.body.feature_info)
        self.is_plain = len({info["reduction"] for info in infos}) == 1
        self.indices = _four_of(name, len(infos), self.is_plain, stages)
        width = "num_chs_norm" if self.is_plain else "num_chs"  # a final norm may also project, as SAM's does
        self.channels = tuple(infos[index].get(width, infos[index]["num_chs"]) for index in self.indices)
        self.reductions = tuple(infos[index]["reduction"] for index in self.indices)
        self.body.prune_intermediate_layers(list(self.indices), prune_norm=not self.is_plain)
        embedding = getattr(self.body, "patch_embed", None)
        patch = embedding.patch_size if isinstance(embedding, PatchEmbed) else (1, 1)
        least = 1 if self.is_plain else self.reductions[-1]
        self.whole: tuple[int, int] = (math.lcm(patch[0], least), math.lcm(patch[1], least))

    def forward(self, image: Float[Tensor, "B 3 H W"]) -> tuple[Tensor, ...]:
        size = image.shape[2:]
        whole = [-(-side // part) * part for side, part in zip(size, self.whole, strict=True)]
        if whole != list(size):
            image = F.interpolate(image, whole, mode="bilinear", align_corners=False)
        try:
            return tuple(
                self.body.forward_intermediates(
                    image,
                    indices=list(self.indices),
                    norm=self.is_plain,
                    output_fmt="NCHW",
                    intermediates_only=True,
                )
            )
        except (AssertionError, RuntimeError) as error:  # timm's words for a size that the network was not made for
            made_for = tuple(self.body.pretrained_cfg["input_size"][1:])
            if tuple(size) == made_for or isinstance(error, torch.OutOfMemoryError):
                raise
            raise SizeError(self.name, tuple(size), made_for, error) from error


class SizeError(ValueError):
    """A network takes no images of this size.

    Args:
        name: timm's name of the network.
        size: height and width of the images.
        made_for: those that the network was made for.
        error: the network's words.
    """

    def __init__(self, name: str, size: tuple[int, ...], made_for: tuple[int, ...], error: Exception):
        self.made_for = made_for
        found, right = (" x ".join(map(str, pair)) for pair in (size, made_for))
        super().__init__(
            f"the encoder {name!r} takes no images of {found} pixels ({one_line(error, 100)}); it was made for {right}"
        )


def built(build: Callable[[], Any]) -> Any:
    """What `build` gives; on the CPU where timm computes with numbers that a meta device does not have.

    Its later versions do not.
    """
    try:
        return build()
    except RuntimeError as error:
        if "meta tensor" not in str(error):
            raise
        with torch.device("cpu"):
            return build()


def has_fixed_stride(error: Exception) -> bool:
    """Whether timm refuses a network because it has no choice of output stride."""
    return isinstance(error, TypeError) and "'output_stride'" in str(error)


def _whole_net(name: str, pretrained: bool) -> Any:
    """The network with timm's first option that lets it take images of any size, or without one."""
    refused: TypeError | None = None
    for options in ANY_SIZE:
        try:
            net = timm.create_model(name, pretrained=pretrained, num_classes=0, **options)
        except TypeError as error:
            refused = error
            continue
        embedding = getattr(net, "patch_embed", None)
        if not options or not getattr(embedding, "strict_img_size", True):
            return net
    assert refused is not None
    raise refused


def _four_of(name: str, n_maps: int, is_plain: bool, stages: int | None) -> tuple[int, ...]:
    """The four maps that are used, of those that a network can give."""
    if is_plain:
        if stages not in (None, 4):
            raise ValueError(f"model.stages is {stages}, and {name!r} gives four maps; give 4, or none")
        return tuple(n_maps * quarter // 4 - 1 for quarter in (1, 2, 3, 4)) if n_maps >= 4 else _too_few(name, n_maps)
    if stages is not None and stages > n_maps:
        raise ValueError(f"model.stages is {stages}, and {name!r} has {n_maps} stages; give no more, or none")
    kept = n_maps if stages is None else stages
    return tuple(range(kept))[-4:] if kept >= 4 else _too_few(name, kept)


def _too_few(name: str, n_maps: int) -> tuple[int, ...]:
    raise ValueError(f"encoder {name!r} gives {n_maps} stages; four are needed")
