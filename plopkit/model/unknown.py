"""SSUL's net: a head for the unknown, one for the background, and one for each step's classes."""

from collections.abc import Sequence
from typing import Any

from jaxtyping import Float, UInt8
from torch import Tensor, nn

from plopkit.model.abn import ABN
from plopkit.model.classifiers import Classifier
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.upsampling import upsample
from plopkit.unknown import scores

UNKNOWN, BACKGROUND = 0, 1
"""Numbers of these heads; step 0's is 2."""


class Heads(Classifier, kind="heads"):
    """A head of two convolutions for each group of channels: 3x3, norm and activation, then 1x1.

    The groups are the unknown, the background, and the classes of each step. Their channels are meant for a sigmoid.

    Args:
        width: channels of the decoder's map.
        classes: channels that each step brings, the background among those of step 0, without the unknown.
        slope: slope of the activation for negative values.

    Example:
        >>> heads = Heads(256, (16, 5))
        >>> heads(torch.zeros(1, 256, 2, 2)).shape
        torch.Size([1, 22, 2, 2])
    """

    def __init__(self, width: int, classes: Sequence[int], slope: float = 0.01):
        first, *later = classes
        if min(first - 1, *later, 1) < 1:
            raise ValueError(f"classes are the channels of each step, at least one class, not {tuple(classes)}")
        nn.ModuleList.__init__(self, [_head(width, n, slope) for n in (1, 1, first - 1, *later)])
        self.slope = slope

    @property
    def classes(self) -> tuple[int, ...]:
        """Channels of each step, the background among those of step 0, without the unknown."""
        _, background, first, *later = (_last(head).out_channels for head in self)
        return (background + first, *later)

    def grow(self, n_new: int, balanced: bool = True) -> None:
        """Add a head of ``n_new`` channels in place.

        balanced: a copy of the unknown's head, statistics included, whose last convolution gives the same for each of
        the channels. Otherwise it starts at random.
        """
        if n_new < 1:
            raise ValueError(f"a step adds at least one channel, not {n_new}")
        unknown: Any = self[UNKNOWN]
        old = _last(unknown)
        new = _head(old.in_channels, n_new, self.slope).to(old.weight)
        if balanced:
            copied = {name: tensor for name, tensor in unknown.state_dict().items() if not name.startswith("2.")}
            copied |= {"2.weight": old.weight.expand_as(_last(new).weight)}
            assert old.bias is not None
            copied |= {"2.bias": old.bias.expand(n_new)}
            new.load_state_dict(copied)
        self.append(new.train(unknown.training))

    def recipe(self) -> dict[str, Any]:
        return super().recipe() | {"slope": self.slope}


class WithUnknown(Segmenter, kind="unknown"):
    """A net whose classifier has a channel for the unknown; `Output.aux` has all logits, (B, C + 1, H, W).

    `Output.logits` are the `scores` of these, without the unknown, so that the largest is SSUL's prediction.

    Source: SSUL (Cha et al., NeurIPS 2021).
    """

    classifier: Heads

    def forward(self, image: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> Output:
        stages, encoded = self.encode(image)
        head = self.decode(encoded)
        small = self.classifier(head)
        logits = upsample(small, image.shape[2:])
        return Output(scores(logits), scores(small), stages, encoded, head, logits, self.slope_of_maps)

    def classify(self, head: Float[Tensor, "B width h w"]) -> Float[Tensor, "B C h w"]:
        """The scores of the decoder's map."""
        return scores(self.classifier(head))


def _head(width: int, n: int, slope: float) -> nn.Sequential:
    first, last = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.Conv2d(width, n, 1)
    for convolution in (first, last):
        nn.init.kaiming_normal_(convolution.weight)
    return nn.Sequential(first, ABN(width, "leaky_relu", slope), last)


def _last(head: Any) -> nn.Conv2d:
    """The 1x1 convolution of a head."""
    return head[2]
