"""The network: encoder, decoder, and a classifier that grows with every step."""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from plopkit.model.classifiers import Classifier, known_kind
from plopkit.model.decoder import ASPP, RELEASED_DILATIONS, USUAL_SLOPE, Decoder
from plopkit.model.decoders import decoder_from_recipe
from plopkit.model.encoders import Encoder
from plopkit.model.keys import mismatched_keys
from plopkit.model.norms import norm_of
from plopkit.model.upsampling import upsample
from plopkit.settings import Model
from plopkit.support.colours import net_input
from plopkit.support.moved import renamed
from plopkit.support.printable import one_line

if not TYPE_CHECKING:
    __getattr__ = renamed(__name__)


class Output(NamedTuple):
    """What a net gives for a batch of images: all that a method's losses may look at."""

    logits: Float[Tensor, "B C H W"]
    """at the images' size"""
    small: Float[Tensor, "B C h w"]
    """as the classifier gave them"""
    stages: tuple[Tensor, ...] = ()
    """the encoder's maps, finest first"""
    encoded: Tensor | None = None
    """the decoder's input: the last stage after its activation, or what else the decoder takes (`Decoder.gather`)"""
    head: Tensor | None = None
    """the decoder's output, which the classifier sees"""
    aux: Any = None
    """anything else that a net returns"""
    slope: float = 1.0
    """of the leaky ReLU that follows each of the encoder's maps; 1 where there is none"""

    @property
    def features(self) -> tuple[Tensor, ...]:
        """The maps that POD compares: the encoder's stages, then the decoder's output."""
        return self.stages if self.head is None else (*self.stages, self.head)

    @property
    def activated(self) -> tuple[Tensor, ...]:
        """The maps that the pooled cube compares: the encoder's after their activation, the decoder's, the logits."""
        stages = self.stages if self.slope == 1 else tuple(F.leaky_relu(stage, self.slope) for stage in self.stages)
        return (*stages, self.small) if self.head is None else (*stages, self.head, self.small)


NETS: dict[str, type["Segmenter"]] = {}
"""By the name that a checkpoint keeps; a subclass of `Segmenter` is registered under its `kind`."""
_COMPARED: set[int] = set()
"""Recipes and their tensors' shapes that belong together: comparing them costs more than building a small net."""


class Segmenter(nn.Module):
    """``net(images) -> Output``: encoder, decoder, classifier.

    A subclass names itself, `class Gated(Segmenter, kind="gated")`, so that a checkpoint can say which net it needs. If
    it has more than the three parts, its `recipe` describes them, and its `from_parts` takes what `recipe` adds.

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

    kind: ClassVar[str]

    def __init_subclass__(cls, kind: str, **options: Any):
        super().__init_subclass__(**options)
        cls.kind = kind
        NETS[kind] = cls

    decoder: Decoder

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
    def from_parts(cls, encoder: Encoder, decoder: Decoder, classifier: Classifier) -> Self:
        """A net of parts that are built already."""
        net = cls.__new__(cls)
        nn.Module.__init__(net)
        net._frozen = {}
        net.encoder, net.decoder, net.classifier = encoder, decoder, classifier
        return net

    @classmethod
    def from_recipe(cls, recipe: dict[str, Any]) -> "Segmenter":
        """The net that `recipe` described, with new weights; ValueError where a package or class is missing."""
        arguments = dict(recipe)
        kind = known_kind(NETS, arguments.pop("kind", Segmenter.kind), "form")
        if kind is not cls:
            return kind.from_recipe(recipe)
        encoder = Encoder(**arguments.pop("encoder"))
        of_decoder = dict(arguments.pop("decoder"))
        norm = norm_of(encoder.norm, of_decoder.pop("slope", USUAL_SLOPE))
        decoder = decoder_from_recipe(of_decoder, encoder.channels, norm)
        classifier = Classifier.from_recipe(arguments.pop("classifier"), decoder.width)
        return cls.from_parts(encoder, decoder, classifier, **arguments)

    @classmethod
    def restored(cls, recipe: dict[str, Any], tensors: Mapping[str, Tensor]) -> "Segmenter":
        """The net that `recipe` described, with these tensors.

        Raises:
            ValueError: where a package or class is missing, or the recipe does not describe the tensors' net.
        """
        again = "delete it to train the step again"
        pair = hash(repr((recipe, [(name, tensor.shape) for name, tensor in tensors.items()])))
        if pair not in _COMPARED:  # a run reads the nets of its steps several times
            cls._compare(recipe, tensors, again)
            _COMPARED.add(pair)
        net = cls.from_recipe(recipe)
        try:
            net.load_state_dict(dict(tensors))
        except RuntimeError as error:
            raise ValueError(
                f"its tensors are not those of the net that it describes ({one_line(error)}); {again}"
            ) from error
        return net

    @classmethod
    def _compare(cls, recipe: dict[str, Any], tensors: Mapping[str, Tensor], again: str) -> None:
        """`ValueError` where a recipe does not describe these tensors' net, before the net takes any memory."""
        try:
            if recipe["encoder"].get("weights", "none") != "none":
                raise ValueError("it describes a net with weights from elsewhere")
            with torch.device("meta"):  # without memory: a recipe that is wrong may describe any size
                expected = cls.from_recipe(recipe).state_dict()
        except NotImplementedError:  # of a plugin's net, which computes with numbers when it is built
            return
        except (KeyError, TypeError, AttributeError, IndexError, RuntimeError, ArithmeticError) as error:
            problem = f"{type(error).__name__}: {one_line(error)}"
            raise ValueError(f"its description of the net is damaged ({problem}); {again}") from error
        if wrong := mismatched_keys(expected, tensors):
            raise ValueError(
                f"{len(wrong)} of its tensors, such as {one_line(wrong[0])}, are not those of the net that it "
                f"describes; {again}"
            )

    def rebuilt(self) -> "Segmenter":
        """The net as a checkpoint gives it back: built from its recipe, with the same weights, nothing frozen.

        Raises:
            ValueError: where the recipe describes another net.
        """
        try:
            recipe = json.loads(json.dumps(self.recipe()))  # as a checkpoint keeps it
        except TypeError as error:
            raise ValueError(f"the recipe of {type(self).__name__} is not of plain values: {error}") from error
        net, state = self.from_recipe(recipe), self.state_dict()
        if wrong := mismatched_keys(net.state_dict(), state):
            raise ValueError(
                f"a checkpoint of this net ({type(self).__name__}) could not be read: {len(wrong)} of its tensors, "
                f"such as {wrong[0]}, are not as its recipe says; a net of another form is a subclass of Segmenter "
                "with its own kind, recipe and from_parts"
            )
        net.load_state_dict(state)
        return net

    def recipe(self) -> dict[str, Any]:
        """What builds a net of this shape, as plain values; a checkpoint keeps it."""
        return {
            "kind": self.kind,
            "encoder": self.encoder.recipe(),
            "decoder": self.decoder.recipe(),
            "classifier": self.classifier.recipe(),
        }

    @property
    def classes(self) -> tuple[int, ...]:
        """Channels of each step's classifier."""
        return self.classifier.classes

    @property
    def slope_of_maps(self) -> float:
        """As `Output.slope`."""
        return self.encoder.slope_of_maps

    @property
    def classifiers(self) -> Classifier:
        """The classifier, by its name in plopkit 0.1."""
        return self.classifier

    def forward(self, image: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> Output:
        """All maps and logits of normalised images, or of 8-bit colours, which are normalised first."""
        stages, encoded = self.encode(image)
        head = self.decode(encoded)
        small = self.classify(head)
        return Output(upsample(small, image.shape[2:]), small, stages, encoded, head, slope=self.slope_of_maps)

    def encode(self, image: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> tuple[tuple[Tensor, ...], Tensor]:
        """The encoder's four maps, finest first, and the decoder's input: usually the last one after its activation."""
        stages = self.encoder(net_input(image))
        return stages, self.decoder.gather(stages, self.encoder.activate)

    def decode(self, encoded: Float[Tensor, "B channels h w"]) -> Float[Tensor, "B width h w"]:
        """The decoder's map."""
        return self.decoder(encoded)

    def classify(self, head: Float[Tensor, "B width h w"]) -> Float[Tensor, "B C h w"]:
        """The logits of the decoder's map, or of features that a method replays, at their size."""
        return self.classifier(head)

    def grown(self, n_new: int, balanced: bool = True) -> Self:
        """A copy whose classifier has ``n_new`` channels more (`Classifier.grow`). What was frozen stays frozen.

        Without new channels, as in the protocol `domain`, it is a copy and nothing else.
        """
        net = copy.deepcopy(self)
        if n_new:
            net.classifier.grow(n_new, balanced)
        return net

    def merged(self) -> "Segmenter":
        """The net for inference: of the standard kind, if it computes the same in evaluation mode; else the net itself.

        Default: the net itself.
        """
        return self

    def frozen(self) -> Self:
        """A copy that is never trained: evaluation mode, no gradients. The teacher of the next step."""
        return copy.deepcopy(self).eval().requires_grad_(False)

    def freeze(self, parts: str | Iterable[str], norms: bool = True) -> Self:
        """Stop training these parts, in place; returns the net.

        Args:
            parts: names of submodules: "encoder", "decoder", "classifier.0", …
            norms: keep them in evaluation mode as well, also after ``train()``, so that the statistics of their norms
                stand still. A part whose norms keep running is not frozen: it gives other features after every batch.

        It holds for this net and its copies. A checkpoint does not keep it: the next step begins with a net of which
        nothing is frozen.

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


Segmenter.kind = "segmenter"
NETS["segmenter"] = Segmenter


def make_encoder(model: Model) -> Encoder:
    """The encoder that settings describe, with its weights."""
    return Encoder(model.encoder, model.output_stride, model.weights, model.stages, model.norm, model.slope)


def make_decoder(model: Model, encoder: Encoder) -> Decoder:
    """The decoder that settings describe, with new weights."""
    norm = norm_of(model.norm)
    if model.decoder != "aspp":
        return decoder_from_recipe({"kind": model.decoder, "width": model.width}, encoder.channels, norm)
    dilations = model.dilations or RELEASED_DILATIONS.get(encoder.output_stride, (1, 2, 3))
    return ASPP(encoder.channels[-1], model.width, dilations, model.pool, norm)


def segmenter_of(model: Model, classes: Sequence[int]) -> Segmenter:
    """The net that settings describe, with a classifier of these channels for each step."""
    encoder = make_encoder(model)
    return Segmenter.from_parts(encoder, make_decoder(model, encoder), Classifier(model.width, classes))
