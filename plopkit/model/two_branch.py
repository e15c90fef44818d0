"""RCIL's network: each convolution larger than 1x1 and its norm exist twice, and are merged when a step begins."""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import nn

from plopkit.model.branches import Merge, TwoBranch
from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import ASPP, Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.pairs import activation_of, noise_for, norms_after_convolutions, set_activation
from plopkit.model.segmenter import Segmenter

DECODER = ("decoder.branches", "decoder.branches_norm")
"""The parallel convolutions of ASPP and their norm."""


class TwoBranchSegmenter(Segmenter, kind="two-branch"):
    """A `Segmenter` with two branches in the places of convolutions and their norms (`plopkit.model.branches`).

    In the place of a convolution is a `TwoBranch`, in that of its norm the norm's activation.
    """

    pairs: tuple[tuple[str, str], ...]

    @classmethod
    def from_parts(
        cls,
        encoder: Encoder,
        decoder: Decoder,
        classifier: Classifier,
        pairs: Sequence[Sequence[str]] | None = None,
    ) -> Self:
        """A net of parts that are built already, which are changed.

        Args:
            encoder, decoder, classifier: the parts.
            pairs: names of convolutions and of their norms; None for `doubled_pairs`.

        Raises:
            ValueError: for an encoder in which no convolution can be doubled.
        """
        net = super().from_parts(encoder, decoder, classifier)
        net.pairs = doubled_pairs(net) if pairs is None else tuple((conv, norm) for conv, norm in pairs)
        for conv, norm in net.pairs:
            layer = net.get_submodule(norm)
            activation = activation_of(layer)
            set_activation(layer, nn.Identity())
            net.set_submodule(conv, TwoBranch(net.get_submodule(conv), layer))
            net.set_submodule(norm, activation)
        return net

    def recipe(self) -> dict[str, Any]:
        return super().recipe() | {"pairs": [list(pair) for pair in self.pairs]}

    def merge(self, how: Merge = "released") -> Self:
        """Merge the branches, and stop training branch 1; in place, as `TwoBranch.merge` says. Returns the net."""
        for conv, _ in self.pairs:
            branches: Any = self.get_submodule(conv)
            branches.merge(how)
        return self.freeze(f"{conv}.{part}" for conv, _ in self.pairs for part in ("conv", "norm"))

    @torch.no_grad()
    def merged(self) -> Segmenter:
        net = copy.deepcopy(self)
        for name, norm_name in self.pairs:
            branches: Any = net.get_submodule(name)
            conv, norm = branches.merged()
            set_activation(norm, net.get_submodule(norm_name))
            net.set_submodule(name, conv)
            net.set_submodule(norm_name, norm)
        return Segmenter.from_parts(net.encoder, net.decoder, net.classifier).train(self.training)


def doubled_pairs(net: Segmenter) -> tuple[tuple[str, str], ...]:
    """The pairs that have two branches: the encoder's, except its first and those of 1x1, and the decoder's.

    In a released ResNet with bottlenecks these are the 3x3 convolutions, as in RCIL. The net is run with an image of
    noise to find which norm follows which convolution.

    Raises:
        ValueError: where the encoder has no such pair, or uses the output of one of these convolutions elsewhere too.
    """
    if net.encoder.is_transformer:
        raise _without_pairs(net)
    looked_at = net.frozen()
    with torch.no_grad():
        image = noise_for(looked_at)
        found, expected = norms_after_convolutions(looked_at, image)
        first = found[0][0] if found else None
        pairs = [
            (conv, norm)
            for conv, norm in found
            if conv.startswith("encoder.") and conv != first and looked_at.get_submodule(conv).kernel_size != (1, 1)
        ]
        for conv, norm in pairs:  # as if both were in the norm's place: whoever else looks at the convolution sees less
            both = nn.Sequential(looked_at.get_submodule(conv), looked_at.get_submodule(norm))
            looked_at.set_submodule(conv, nn.Identity())
            looked_at.set_submodule(norm, both)
        same = pairs and all(map(torch.equal, looked_at(image).stages, expected.stages))
    if not same:
        raise _without_pairs(net)
    return (*pairs, DECODER) if isinstance(net.decoder, ASPP) else tuple(pairs)


def _without_pairs(net: Segmenter) -> ValueError:
    return ValueError(
        f"the encoder {net.encoder.name!r} has no convolutions followed by batch norms that could have two branches, "
        "or no choice of output stride, by which such networks are known; choose a released ResNet or a convolutional "
        "network of timm, such as efficientnet_lite0"
    )
