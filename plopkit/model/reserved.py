"""A net that has the classifiers of all steps from the start (DFT*)."""

import copy
from collections.abc import Sequence
from typing import Any, Self

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from plopkit.model.classifiers import Classifier
from plopkit.model.decoder import Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.upsampling import upsample


class Reserved(Segmenter, kind="reserved"):
    """A net with classifiers for the steps to come, which take part in training only.

    `Output.aux` has the logits of all classifiers, (B, C_all, H, W), in training mode; the channels of `Output.logits`
    come first. In evaluation mode there are no other channels than those learnt so far, and ``aux`` is None.

    Source: DFT* (arXiv 2508.04267), which allocates all classifiers at step 0.

    Example:
        >>> net = Reserved.from_parts(encoder, decoder, Classifier(256, (16,)), (1, 1))
        >>> net.grown(1).classes, net.grown(1).reserved
        ((16, 1), (1,))
    """

    reserve: nn.ModuleList

    @classmethod
    def from_parts(
        cls, encoder: Encoder, decoder: Decoder, classifier: Classifier, reserved: Sequence[int] = ()
    ) -> Self:
        """A net of parts that are built already, and new classifiers.

        Args:
            encoder: its encoder.
            decoder: its decoder.
            classifier: classifier of the classes learnt so far.
            reserved: channels of each step to come.
        """
        net = super().from_parts(encoder, decoder, classifier)
        net.reserve = nn.ModuleList(nn.Conv2d(decoder.width, n, 1) for n in reserved)
        return net

    @property
    def reserved(self) -> tuple[int, ...]:
        """Channels of each step to come."""
        return tuple(step.out_channels for step in self.reserve)  # type: ignore[misc]

    def recipe(self) -> dict[str, Any]:
        return super().recipe() | {"reserved": list(self.reserved)}

    def forward(self, image: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> Output:
        if not (self.training and len(self.reserve)):
            return super().forward(image)
        stages, encoded = self.encode(image)
        head = self.decode(encoded)
        small = self.classify(head)
        n_seen = small.shape[1]
        everything = upsample(torch.cat([small, *(step(head) for step in self.reserve)], 1), image.shape[2:])
        slope = self.slope_of_maps
        return Output(everything[:, :n_seen], small, stages, encoded, head, everything, slope)

    def grown(self, n_new: int, balanced: bool = True) -> Self:
        """A copy that uses the next of its reserved classifiers, as it is; without one, as `Segmenter.grown`.

        Raises:
            ValueError: where the next one has another number of channels.
        """
        if not self.reserved:
            return super().grown(n_new, balanced)
        if self.reserved[0] != n_new:
            raise ValueError(
                f"the next step was planned with {self.reserved[0]} new channels, not {n_new}; the classifiers of all "
                "steps are made at step 0"
            )
        net = copy.deepcopy(self)
        net.classifier.append(net.reserve.pop(0))
        return net

    def merged(self) -> Segmenter:
        net = copy.deepcopy(self)
        return Segmenter.from_parts(net.encoder, net.decoder, net.classifier).train(self.training)
