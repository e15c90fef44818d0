"""The network: encoder, decoder, and a classifier that grows with every step."""

import copy
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Self

import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from plopkit.model.classifiers import Classifier, classifier_from
from plopkit.model.decoder import ASPP, RELEASED_DILATIONS
from plopkit.model.encoders import Encoder
from plopkit.model.norms import norm_of
from plopkit.settings import Model
from plopkit.support.colours import net_input
from plopkit.support.precision import at_least_float32


class Output(NamedTuple):
    """What a net gives for a batch of images: all that a method's losses may look at."""

    logits: Float[Tensor, "B C H W"]
    """at the images' size"""
    small: Float[Tensor, "B C h w"]
    """as the classifier gave them"""
    stages: tuple[Tensor, ...] = ()
    """the encoder's maps, finest first"""
    encoded: Tensor | None = None
    """the decoder's input: the last stage after its activation"""
    head: Tensor | None = None
    """the decoder's output, which the classifier sees"""
    aux: Any = None
    """anything else that a net returns"""

    @property
    def features(self) -> tuple[Tensor, ...]:
        """The maps that POD compares: the encoder's stages, then the decoder's output."""
        return self.stages if self.head is None else (*self.stages, self.head)


class Segmenter(nn.Module):
    """``net(images) -> Output``: encoder, decoder, classifier.

    Args:
        encoder: gives four maps, finest first.
        classes: channels of each step's classifier.
        width: channels of the decoder's map.
        dilations: dilations of the decoder's branches; empty for the released ones of the encoder's stride.
        pool: the decoder's pooling window, as in `ASPP`.
        norm: "abn" or "iabn", for the decoder.

    Example:
        >>> net = Segmenter(Encoder("resnet18"), classes=(16,))
        >>> net(torch.zeros(2, 3, 64, 64)).logits.shape
        torch.Size([2, 16, 64, 64])
        >>> net.grown(5).classes
        (16, 5)
    """

    def __init__(
        self,
        encoder: Encoder,
        classes: Sequence[int] = (16,),
        width: int = 256,
        dilations: Sequence[int] = (),
        pool: int | None = 32,
        norm: str = "abn",
    ):
        super().__init__()
        self._frozen: dict[str, bool] = {}
        self.encoder = encoder
        chosen = tuple(dilations) or RELEASED_DILATIONS.get(encoder.output_stride, (1, 2, 3))
        self.decoder = ASPP(encoder.channels[-1], width, chosen, pool, norm_of(norm))
        self.classifier = Classifier(width, classes)

    @classmethod
    def from_parts(cls, encoder: Encoder, decoder: ASPP, classifier: Classifier) -> Self:
        """A net of parts that are built already."""
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net._frozen = {}
        net.encoder, net.decoder, net.classifier = encoder, decoder, classifier
        return net

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> Self:
        """The net that `recipe` described, with new weights; ValueError where a package or class is missing."""
        encoder = Encoder(**recipe["encoder"])
        decoder = ASPP(encoder.channels[-1], **recipe["decoder"], norm=norm_of(encoder.norm))
        return cls.from_parts(encoder, decoder, classifier_from(recipe["classifier"], decoder.width))

    def recipe(self) -> dict[str, Any]:
        """What builds a net of this shape, as plain values; a checkpoint keeps it."""
        return {
            "encoder": self.encoder.recipe(),
            "decoder": self.decoder.recipe(),
            "classifier": self.classifier.recipe(),
        }

    @property
    def classes(self) -> tuple[int, ...]:
        """Channels of each step's classifier."""
        return self.classifier.classes

    @property
    def classifiers(self) -> Classifier:
        """The classifier, by its name in plopkit 0.1."""
        return self.classifier

    def forward(self, image: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> Output:
        """All maps and logits of normalised images, or of 8-bit colours, which are normalised first."""
        stages, encoded = self.encode(image)
        head = self.decode(encoded)
        small = self.classify(head)
        logits = F.interpolate(at_least_float32(small), image.shape[2:], mode="bilinear", align_corners=False)
        return Output(logits, small, stages, encoded, head)

    def encode(
        self, image: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]
    ) -> tuple[tuple[Tensor, ...], Tensor]:
        """The encoder's four maps, finest first, and the last one after its activation: the decoder's input."""
        stages = self.encoder(net_input(image))
        return stages, self.encoder.activate(stages[-1])

    def decode(self, encoded: Float[Tensor, "B channels h w"]) -> Float[Tensor, "B width h w"]:
        """The decoder's map."""
        return self.decoder(encoded)

    def classify(self, head: Float[Tensor, "B width h w"]) -> Float[Tensor, "B C h w"]:
        """The logits of the decoder's map, or of features that a method replays, at their size."""
        return self.classifier(head)

    def grown(self, n_new: int, balanced: bool = True) -> Self:
        """A copy whose classifier has ``n_new`` channels more (`Classifier.grow`). What was frozen stays frozen."""
        net = copy.deepcopy(self)
        net.classifier.grow(n_new, balanced)
        return net

    def frozen(self) -> Self:
        """A copy that is never trained: evaluation mode, no gradients. The teacher of the next step."""
        return copy.deepcopy(self).eval().requires_grad_(False)

    def freeze(self, parts: str | Iterable[str], norms: bool = True) -> Self:
        """Stop training these parts, in place; returns the net.

        Args:
            parts: names of submodules: "encoder", "decoder", "classifier.0", …
            norms: keep them in evaluation mode as well, also after ``train()``, so that the statistics of their norms
                stand still. A part whose norms keep running is not frozen: it gives other features after every batch.

        Raises:
            AttributeError: for a part that the net does not have.
        """
        for part in [parts] if isinstance(parts, str) else parts:
            self.get_submodule(part).requires_grad_(False)
            self._frozen[part] = norms
        return self.train(self.training)

    def train(self, mode: bool = True) -> Self:
        """Training mode, except for parts frozen with their norms."""
        super().train(mode)
        for part, norms in self._frozen.items():
            if norms:
                self.get_submodule(part).eval()
        return self


def make_encoder(model: Model) -> Encoder:
    """The encoder that settings describe, with its weights."""
    return Encoder(model.encoder, model.output_stride, model.weights, model.stages, model.norm, model.slope)


def make_decoder(model: Model, encoder: Encoder) -> ASPP:
    """The decoder that settings describe, with new weights."""
    dilations = model.dilations or RELEASED_DILATIONS.get(encoder.output_stride, (1, 2, 3))
    return ASPP(encoder.channels[-1], model.width, dilations, model.pool, norm_of(model.norm))


def segmenter_of(model: Model, classes: Sequence[int]) -> Segmenter:
    """The net that settings describe, with a classifier of these channels for each step."""
    encoder = make_encoder(model)
    return Segmenter(encoder, classes, model.width, model.dilations, model.pool, model.norm)
