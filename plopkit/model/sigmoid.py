"""Classifiers of binary decisions, and DKD's net, which gives the parts of its logits as well."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from plopkit.model.classifiers import Classifier
from plopkit.model.segmenter import Output, Segmenter
from plopkit.model.upsampling import upsample


class SigmoidClassifier(Classifier, kind="sigmoid"):
    """A binary decision for each class: one 1x1 convolution per step, whose channels are meant for a sigmoid.

    Channel 0, the background, is the constant 0. A class exceeds it where its sigmoid exceeds 0.5, so that the largest
    logit is DKD's decision: the class with the largest sigmoid, or the background where none exceeds 0.5.

    Args:
        width: channels of the decoder's map.
        classes: channels that each step brings, the background among those of step 0.
        auxiliary: whether there is DKD's auxiliary classifier, convolution 0, which learns what no class looks like.
            It is no channel of the output; new classes begin as its copies.

    Example:
        >>> classifier = SigmoidClassifier(256, (16, 5), auxiliary=True)
        >>> [step.out_channels for step in classifier]
        [1, 15, 5]
        >>> classifier(torch.zeros(1, 256, 2, 2)).shape
        torch.Size([1, 21, 2, 2])
    """

    def __init__(self, width: int, classes: Sequence[int], auxiliary: bool = False):
        first, *later = classes
        super().__init__(width, (first - 1, *later))
        self.has_auxiliary = auxiliary
        if auxiliary:
            self.insert(0, nn.Conv2d(width, 1, 1))

    @property
    def steps(self) -> list[Any]:
        """The classifier of each step."""
        return list(self)[int(self.has_auxiliary) :]

    @property
    def classes(self) -> tuple[int, ...]:
        """Channels of each step, the background among those of step 0."""
        first, *later = (step.out_channels for step in self.steps)
        return (first + 1, *later)

    @property
    def weight(self) -> Float[Tensor, "classes width 1 1"]:
        """The weights of all classes, without the background, in the order learnt."""
        return torch.cat([step.weight for step in self.steps])

    def forward(self, features: Float[Tensor, "B width h w"]) -> Float[Tensor, "B C h w"]:
        logits = [step(features) for step in self.steps]
        return torch.cat([torch.zeros_like(logits[0][:, :1]), *logits], 1)

    def auxiliary(self, features: Float[Tensor, "B width h w"]) -> Float[Tensor, "B 1 h w"]:
        """The auxiliary classifier's logit. Its gradient does not reach the features."""
        return self[0](features.detach())

    def grow(self, n_new: int, balanced: bool = True) -> None:
        """Add a step of ``n_new`` channels in place.

        balanced: every new channel is a copy of the auxiliary classifier, which stays. Otherwise, and without an
        auxiliary classifier, the new channels start at random.
        """
        if n_new < 1:
            raise ValueError(f"a step adds at least one channel, not {n_new}")
        first: Any = self[0]
        new = nn.Conv2d(first.in_channels, n_new, 1).to(first.weight)
        if balanced and self.has_auxiliary:
            with torch.no_grad():
                for own, copied in ((new.weight, first.weight), (new.bias, first.bias)):
                    assert own is not None
                    own.copy_(copied.expand_as(own))
        self.append(new)

    def recipe(self) -> dict[str, Any]:
        return super().recipe() | {"auxiliary": self.has_auxiliary}


def classifier_of(weights: Sequence[Tensor], biases: Sequence[Tensor], auxiliary: bool = True) -> SigmoidClassifier:
    """A classifier of tensors: for each convolution its weights, (channels, width), and its bias, (channels,).

    Args:
        weights: those of the auxiliary classifier, where there is one, and of each step.
        biases: the same.
        auxiliary: whether the first is the auxiliary classifier.
    """
    first, *later = map(len, weights[int(auxiliary) :])
    classifier = SigmoidClassifier(weights[0].shape[1], (first + 1, *later), auxiliary)
    for part, weight, bias in zip(classifier, weights, biases, strict=True):
        part.load_state_dict({"weight": weight[..., None, None], "bias": bias})
    return classifier


class Parts(NamedTuple):
    """What DKD's losses compare besides the logits, each at the classifier's size."""

    auxiliary: Float[Tensor, "B 1 h w"]
    """the auxiliary classifier's logit"""
    positive: Float[Tensor, "B N h w"]
    """of each class, what the positive weights add to the logit"""
    negative: Float[Tensor, "B N h w"]
    """of each class, what the negative weights add to the logit"""


class Decomposed(Segmenter, kind="decomposed"):
    """DKD's net: a `SigmoidClassifier` with an auxiliary classifier; `Output.aux` has the `Parts` of its logits.

    Source: DKD (Baek et al., NeurIPS 2022).
    """

    classifier: SigmoidClassifier

    def forward(self, image: Float[Tensor, "B 3 H W"] | UInt8[Tensor, "B 3 H W"]) -> Output:
        stages, encoded = self.encode(image)
        out = decomposed_output(self.classifier, self.decode(encoded), image.shape[2:])
        return out._replace(stages=stages, encoded=encoded, slope=self.slope_of_maps)


def decomposed_output(
    classifier: SigmoidClassifier, head: Float[Tensor, "B width h w"], size: Sequence[int | Tensor]
) -> Output:
    """What a classifier with an auxiliary one makes of the decoder's map: logits, also upsampled, and their `Parts`.

    Args:
        classifier: the classifier.
        head: the decoder's map.
        size: height and width of the images.
    """
    small = classifier(head)
    parts = Parts(classifier.auxiliary(head), *signed_logits(head, classifier.weight))
    return Output(upsample(small, size), small, head=head, aux=parts)


def signed_logits(
    features: Float[Tensor, "B D h w"], weight: Float[Tensor, "N D 1 1"]
) -> tuple[Float[Tensor, "B N h w"], Float[Tensor, "B N h w"]]:
    """The logits' two parts without the bias: Σ_d max(W_cd, 0) x_d and Σ_d min(W_cd, 0) x_d (DKD, eq. 4 and 5)."""
    return F.conv2d(features, weight.clamp(min=0)), F.conv2d(features, weight.clamp(max=0))
