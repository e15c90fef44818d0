"""What methods with binary decisions share: the network of DKD's code, what is fixed in later steps, and its rates."""

from collections.abc import Iterable
from typing import Any, Self

from pydantic import Field
from torch import nn

from plopkit.methods.base import Method
from plopkit.model.decoder import ASPP, Decoder
from plopkit.model.encoders import Encoder
from plopkit.model.norms import fixed_names, norm_names, norm_of
from plopkit.model.segmenter import Segmenter


class FixedNorms(Method):
    """The network of DKD, SSUL and STAR, whose norms and dropout are fixed in later steps. Not a method itself.

    A released ResNet is dilated as torchvision's. The decoder is torchvision's ASPP, which is plopkit's with dropout
    and with the encoder's slope.
    """

    decoders = ("aspp",)

    dropout: float = Field(0.1, ge=0, lt=1, description="dropout behind the ASPP")
    norm_momentum: float = Field(0.01, gt=0, le=1, description="share of a batch in running statistics")

    def without(self, *names: str) -> Self:
        """A copy with the defaults of some hyper-parameters: those without effect on step 0."""
        return self.model_copy(update={name: type(self).model_fields[name].default for name in names})

    def first_step_of(self, kind: type[Method]) -> Method:
        """What trains step 0 of another method with the same hyper-parameters, so that both share it."""
        return kind(**{name: getattr(self, name) for name in kind.model_fields}).first_step()

    def prepared_parts(self, encoder: Encoder, decoder: Decoder, last: bool) -> tuple[Encoder, ASPP]:
        """The encoder with its dilations and momentum, in place, and a decoder of the given one's shape for it.

        Args:
            encoder: the encoder.
            decoder: the decoder that settings describe.
            last: whether a further convolution follows, as in DKD and STAR.

        Raises:
            ValueError: the decoder is not an ASPP; `Method.decoders` refuses such settings before.
        """
        if not isinstance(decoder, ASPP):
            raise ValueError(f"{self.title} makes a decoder of the shape of an ASPP, not of {decoder.kind!r}")
        encoder.dilate_late()
        for name in norm_names(encoder):
            norm: Any = encoder.get_submodule(name)  # of either kind
            norm.momentum = self.norm_momentum
        shape = (encoder.channels[-1], decoder.width, decoder.dilations, decoder.pool)
        return encoder, ASPP(*shape, norm_of(encoder.norm, encoder.slope), self.dropout, last)


def fixed(net: Segmenter) -> Segmenter:
    """The net with norms and dropout that compute in training as in evaluation, in place."""
    return net.freeze(fixed_names(net))


def group(modules: Iterable[nn.Module], lr_scale: float, weight_decay: float | None = None) -> dict[str, Any]:
    """What is not frozen of some modules as a parameter group; without a weight decay, that of the settings holds."""
    params = [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad]
    return {"params": params, "lr_scale": lr_scale} | ({} if weight_decay is None else {"weight_decay": weight_decay})


def first_groups(net: Segmenter, head_lr: float) -> list[dict[str, Any]]:
    """The groups of step 0: encoder, and all else at ``head_lr`` times its rate."""
    return [group([net.encoder], 1.0), group([net.decoder, net.classifier], head_lr)]
