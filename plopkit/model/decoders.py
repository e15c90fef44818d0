"""Other decoders than ASPP, for encoders that leave less to do, or maps of other sizes than ASPP was made for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self, get_args

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from plopkit.model.classifiers import known_kind
from plopkit.model.decoder import DECODERS, Decoder
from plopkit.model.norms import Norm
from plopkit.model.upsampling import upsample
from plopkit.settings import Model


class Linear(Decoder, kind="linear"):
    """A 1x1 convolution of the last map and a norm without an activation: with the classifier, a linear probe.

    Args:
        channels: channels of the encoder's last map.
        width: channels of the output.
        norm: the normalisation layer's constructor.
    """

    def __init__(self, channels: int, width: int, norm: Norm):
        super().__init__()
        self.width = width
        self.project = nn.Conv2d(channels, width, 1, bias=False)
        self.norm = norm(width, "identity")

    @classmethod
    def build(cls, channels: Sequence[int], norm: Norm, **recipe: Any) -> Self:
        return cls(channels[-1], norm=norm, **recipe)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B width h w"]:
        return self.norm(self.project(x))

    def recipe(self) -> dict[str, Any]:
        return {"kind": self.kind, "width": self.width}


class Pyramid(Decoder, kind="pyramid"):
    """All four maps at the size of the second, through a 1x1 convolution, a norm and an activation.

    A hierarchical transformer's last map is coarse, and its second has stride 8. A 1x1 convolution of maps next to each
    other is the sum of one for each, so that this is SegFormer's decoder (Xie et al., NeurIPS 2021) with its two linear
    layers in one, and DINOv2's linear head on four blocks.

    Args:
        channels: channels of the encoder's maps.
        width: channels of the output.
        norm: the normalisation layer's constructor.
    """

    def __init__(self, channels: Sequence[int], width: int, norm: Norm):
        super().__init__()
        self.width = width
        self.fuse = nn.Conv2d(sum(channels), width, 1, bias=False)
        self.norm = norm(width, "leaky_relu")

    @classmethod
    def build(cls, channels: Sequence[int], norm: Norm, **recipe: Any) -> Self:
        return cls(channels, norm=norm, **recipe)

    def gather(self, stages: Sequence[Tensor], activate: Callable[[Tensor], Tensor]) -> Float[Tensor, "B C h w"]:
        size = stages[1].shape[2:]
        maps = [activate(stage) for stage in stages]
        return torch.cat([each if each.shape[2:] == size else upsample(each, size) for each in maps], 1)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B width h w"]:
        return self.norm(self.fuse(x))

    def recipe(self) -> dict[str, Any]:
        return {"kind": self.kind, "width": self.width}


class Features(Decoder, kind="features"):
    """The encoder's last map itself, without parameters.

    Args:
        channels: its channels.
        unit: whether each pixel's feature is divided by its length.
    """

    def __init__(self, channels: int, unit: bool):
        super().__init__()
        self.width, self.unit = channels, unit

    @classmethod
    def build(cls, channels: Sequence[int], norm: Norm, **recipe: Any) -> Self:
        return cls(channels[-1], **recipe)

    def forward(self, x: Float[Tensor, "B C h w"]) -> Float[Tensor, "B C h w"]:
        return F.normalize(x, dim=1) if self.unit else x

    def recipe(self) -> dict[str, Any]:
        return {"kind": self.kind, "unit": self.unit}


def decoder_from_recipe(recipe: Mapping[str, Any], channels: Sequence[int], norm: Norm) -> Decoder:
    """The decoder that `recipe` described, with new weights.

    Args:
        recipe: as `Decoder.recipe` gives it.
        channels: channels of the encoder's maps.
        norm: the normalisation layer's constructor.

    Raises:
        ValueError: where its kind is unknown.
    """
    arguments = dict(recipe)
    return known_kind(DECODERS, arguments.pop("kind", "aspp"), "decoder").build(channels, norm=norm, **arguments)


def settings_of_decoder(decoder: Decoder) -> dict[str, Any]:
    """The settings of `Model` that describe a decoder; none for one that only a method makes."""
    recipe = decoder.recipe()
    kind = recipe.get("kind", "aspp")
    if kind not in get_args(Model.model_fields["decoder"].annotation):
        return {}
    dilations = {"dilations": tuple(recipe["dilations"])} if kind == "aspp" else {}
    return {"decoder": kind, "width": decoder.width} | dilations
